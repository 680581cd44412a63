"""Response headers that protect data in browsers and caches. Installed by `app`.

They are defaults: a response that sets one itself, as the documentation page does, keeps its own.
"""

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
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                present = {name for name, _ in own}  # in lower case, as ASGI wants it
                message["headers"] = [*own, *(header for header in self._headers if header[0] not in present)]
            await send(message)

        await self.app(scope, receive, protected_send)
