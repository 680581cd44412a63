"""An upstream that answers with the request that it got.

`/status/N`, `/delay/S` and `/header/NAME/VALUE` in the path do as they say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

_LONGEST = 512


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Run one on the loopback for the length of a block, and give its port."""
    runner = web.ServerRunner(web.Server(_answer, access_log=None), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _answer(request: web.BaseRequest) -> web.Response:
    body = await request.content.read()
    headers: dict[str, str | list[str]] = {}
    for name in {name.lower() for name in request.headers}:
        values = request.headers.getall(name)
        headers[name] = values[0] if len(values) == 1 else values
    if delay := re.search(r"/delay/([\d.]+)", request.path):
        await asyncio.sleep(float(delay[1]))
    status = re.search(r"/status/(\d+)", request.path)
    header = re.search(r"/header/([^/]+)/([^/]+)", request.path)
    content = {
        "method": request.method,
        "path": request.raw_path,
        "headers": headers,
        "body": body.decode() if 0 < len(body) <= _LONGEST else None,
        "body_bytes": len(body),
    }
    answer = web.json_response(content, status=int(status[1]) if status else 200, headers={"Server": "echo"})
    answer.headers["Content-Type"] = "application/json"
    if header:
        answer.headers[header[1]] = header[2]
    return answer
