"""The documentation page at `/docs`: Swagger UI, with every file served by the service itself. Mounted by
`app`.

The page must work in clusters without a way out, and a page that loads scripts from elsewhere could not be
allowed to see tokens. The files come from the `fastapi-offline` package. Links are relative, so that the page
works under any path prefix of a gateway.
"""

import base64
import hashlib
import importlib.resources
import re

from fastapi import APIRouter, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"
_ASSETS = frozenset({_SCRIPT, _STYLE, _ICON})
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def docs_router(title: str) -> APIRouter:
    """`/docs` and the files it loads, outside of the OpenAPI document."""
    router = APIRouter(include_in_schema=False)
    files = StaticFiles(directory=str(importlib.resources.files("fastapi_offline") / "static"))
    page = _page(title)

    @router.get("/docs")
    async def docs() -> Response:
        return page

    @router.get("/docs/{asset}")
    async def docs_asset(asset: str, request: Request) -> Response:
        if asset not in _ASSETS:
            raise HTTPException(404)
        response = await files.get_response(asset, request.scope)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return router


def _page(title: str) -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url=f"docs/{_SCRIPT}",
        swagger_css_url=f"docs/{_STYLE}",
        swagger_favicon_url=f"docs/{_ICON}",
        # Swagger UI would otherwise send the document's address to a public validator.
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())
    return page


def _policy(html: str) -> str:
    """Allow the page's own files and exactly its inline script."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html))
    inline = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {inline}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
