"""The keys that sign and verify the tokens of the API: made, and told from what is none. Used by `component`.

What is good here the API takes; whether the primes of a key are primes it alone finds out, since that takes as long
as making a key and a pass has to be cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

#: Bits of a new key: 128 bits of security, nearly. The smallest that the API accepts has 2048.
BITS, SMALLEST = 3072, 2048
#: Public keys that are kept when a new one is added.
KEPT = 7
_EXPONENT = 65537
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


def new_signing_key() -> str:
    """Return a new private key in PEM. Takes 50 to 400 ms of CPU, in which other threads go on."""
    key = generate_private_key(_EXPONENT, BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def is_signing_key(pem: str) -> bool:
    """Whether a text is a private key that the API can sign with."""
    return _signing_key(pem) is not None


def public_half(pem: str) -> str:
    """Return the public key of a private one in PEM. Raises `ValueError` where that is none."""
    key = _signing_key(pem)
    if key is None:
        raise ValueError("this is not an RSA private key in PEM")
    return _written(key.public_key())


def are_public_keys(text: str) -> bool:
    """Whether a text is one public key or more that the API can verify with, and no other PEM."""
    blocks = [match[0] for match in _BLOCK.finditer(text)]
    return bool(blocks) and all(_public_key(block) is not None for block in blocks)


def with_public_key(text: str, added: str) -> str:
    """Return the public keys of a text with one more, which is the first; of many the last are left out."""
    others = (match[0] + "\n" for match in _BLOCK.finditer(text) if _public_key(match[0]) is not None)
    return "".join(_distinct([added, *others])[: KEPT + 1])


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _signing_key(pem: str) -> RSAPrivateKey | None:
    try:
        key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPrivateKey) or key.key_size < SMALLEST or not _is_consistent(key.private_numbers()):
        return None
    return key


def _is_consistent(key: RSAPrivateNumbers) -> bool:
    """Whether the numbers of a key belong together: one changed character in its text changes one of them."""
    p, q, public = key.p, key.q, key.public_numbers
    return (
        min(p, q) > 1
        and p * q == public.n
        and public.e > 1
        and all((key.d * public.e - 1) % (prime - 1) == 0 for prime in (p, q))
        and (key.dmp1, key.dmq1) == (key.d % (p - 1), key.d % (q - 1))
        and key.iqmp * q % p == 1
    )


def _public_key(pem: str) -> RSAPublicKey | None:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST else None


def _written(key: RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
