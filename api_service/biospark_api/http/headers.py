"""Headers: those that protect data in browsers and caches, and a look at one of a request."""

from starlette.types import Scope

from biospark_api.settings import Settings

RawHeader = tuple[bytes, bytes]
"""Name in lower case and value, as ASGI has them."""

_ALWAYS = {
    # Answers hold health data: neither a browser nor a proxy may keep them.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HSTS = "max-age=31536000"


def protective_headers(settings: Settings) -> list[RawHeader]:
    """The headers for every response; HSTS only where clients come by https."""
    https = settings.public_url is not None and settings.public_url.scheme == "https"
    # Names below ours may be somebody else's, and not speak https.
    insistence = _HSTS + ("; includeSubDomains" if settings.hsts_include_subdomains else "")
    headers = _ALWAYS | ({"Strict-Transport-Security": insistence} if https else {})
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of a request with this name, in lower case; None without one."""
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1")
            return text
    return None
