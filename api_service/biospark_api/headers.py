"""Response headers that protect data in browsers and caches. Installed by `app`.

They are defaults: a response that sets one itself, as the documentation page does, keeps its own.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.settings import Settings

_ALWAYS = {
    # Answers hold health data: neither a browser nor a proxy may keep them.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HTTPS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def protective_headers(settings: Settings) -> dict[str, str]:
    """The headers for every response; HSTS only where clients come by https."""
    https = settings.public_url is not None and settings.public_url.scheme == "https"
    return _ALWAYS | (_HTTPS if https else {})


class ProtectiveHeaders:
    """Adds `headers` to each response that does not have them."""

    def __init__(self, app: ASGIApp, *, headers: dict[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    present.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, protected_send)
