"""TLS for the proxy: which certificate a client gets is decided by the name that it asks for.

A certificate that a write replaced is served from the next connection on. Without one for the name there is a
certificate that says that this is no Kong.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.fakes.kong.configuration import Configuration
from tests.fakes.kong.identity import MARK


class Terminator:
    """Gives each connection the certificate that the configuration has for it."""

    def __init__(self, current: Callable[[], Configuration]) -> None:
        self._current = current
        self._asked: WeakKeyDictionary[object, str | None] = WeakKeyDictionary()
        self.context = _context(*_own())
        self.context.sni_callback = self._choose

    def server_name(self, connection: object) -> str | None:
        """Return the name that was asked for on a connection."""
        return self._asked.get(connection)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._asked[connection] = name
        if found := self._current().certificate(name):
            connection.context = _context(found["cert"], found["key"])


@lru_cache(maxsize=64)
def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:  # the ssl module reads files only
        file = Path(directory) / "pair.pem"
        file.touch(mode=0o600)
        file.write_text(f"{certificate.rstrip()}\n{key}")
        context.load_cert_chain(file)
    return context


@lru_cache(maxsize=1)
def _own() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "localhost"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, MARK)]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), private.decode()
