"""The keys of tokens: one signs, several are accepted, so that keys can be exchanged under running clients.

A key's id is its thumbprint (RFC 7638): whoever holds a public key can tell which tokens it verifies.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_BLOCK = re.compile(r"-----BEGIN (?P<kind>[A-Z ]+)-----.*?-----END (?P=kind)-----", re.DOTALL)
_SMALLEST = 2048


class KeyFormatError(ValueError):
    """A key cannot be used; the message says why and holds nothing of it."""


@dataclass(frozen=True)
class VerifyKey:
    """A public key and its id."""

    public: RSAPublicKey

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The key as JSON Web Key."""
        numbers = self.public.public_numbers()
        required = {"e": _base64url(numbers.e), "kty": "RSA", "n": _base64url(numbers.n)}
        digest = hashlib.sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).digest()
        kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return required | {"kid": kid, "use": "sig", "alg": "RS256"}

    @property
    def kid(self) -> str:
        """The thumbprint."""
        return self.jwk["kid"]


@dataclass(frozen=True)
class SigningKey(VerifyKey):
    """A key pair."""

    private: RSAPrivateKey = field(repr=False)

    @cached_property
    def fingerprinting(self) -> bytes:
        """A secret that follows from the private key, for keyed hashes of what clients sent."""
        encoded = self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return hmac.digest(encoded, b"biospark fingerprints of requests", "sha256")


def parse_signing_key(pem: str) -> SigningKey:
    """The key of a PEM text; raises `KeyFormatError`."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFormatError("the signing key should be an RSA private key in PEM, without a passphrase") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _SMALLEST:
        raise KeyFormatError(f"the signing key should be an RSA key of at least {_SMALLEST} bits")
    return SigningKey(key.public_key(), key)


def parse_verify_keys(pem: str) -> list[VerifyKey]:
    """The public keys of a PEM text, none if it is empty; raises `KeyFormatError`."""
    blocks = [match[0] for match in _BLOCK.finditer(pem)]
    if pem.strip() and not blocks:
        raise KeyFormatError("the other keys should be public keys in PEM")
    return [_verify_key(block) for block in blocks]


def _verify_key(pem: str) -> VerifyKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFormatError("the other keys should be public keys in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < _SMALLEST:
        raise KeyFormatError(f"the other keys should be RSA keys of at least {_SMALLEST} bits")
    return VerifyKey(key)


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


class KeyRing:
    """The keys in use. A replaced signing key is accepted until its last token has expired."""

    def __init__(self, signing: SigningKey, others: list[VerifyKey], token_lifetime: float) -> None:
        self.signing = signing
        self._others = others
        self._token_lifetime = token_lifetime
        self._retired: dict[str, tuple[VerifyKey, float]] = {}

    def replace(self, signing: SigningKey, others: list[VerifyKey]) -> None:
        """Sign with another key from now on."""
        if signing.kid != self.signing.kid:
            self._retired[self.signing.kid] = (self.signing, time.time() + self._token_lifetime)
        self.signing, self._others = signing, others

    def accepts(self, kid: str) -> bool:
        """Whether tokens of a key are valid."""
        return kid == self.signing.kid or kid in self.accepted

    @property
    def accepted(self) -> Mapping[str, VerifyKey]:
        """Keys by id whose tokens are valid, the signing one first."""
        now = time.time()
        self._retired = {kid: entry for kid, entry in self._retired.items() if entry[1] > now}
        retired = [key for key, _ in self._retired.values()]
        return {key.kid: key for key in [*retired, *self._others, self.signing][::-1]}

    @property
    def signing_keys(self) -> list[SigningKey]:
        """The key that signs, and those that this process signed with before."""
        retired = [key for key, _ in self._retired.values()]
        return [self.signing, *(key for key in retired if isinstance(key, SigningKey))]

    def jwks(self) -> dict[str, Any]:
        """The JSON Web Key Set that others verify with."""
        return {"keys": [key.jwk for key in self.accepted.values()]}
