"""What counts as a key for tokens: exactly what the API takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from biospark_api.security.keys import KeyFormatError, parse_signing_key, parse_verify_keys
from biospark_operator.components.secrets import keys

KEY = keys.new_signing_key()
PUBLIC = keys.public_half(KEY)


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


SMALL = rsa.generate_private_key(65537, 1024)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def damaged(text: str) -> Iterator[str]:
    """Yield a key with one character changed, at many places of it."""
    lines = text.splitlines()
    for number in range(2, len(lines) - 1, 3):
        other = "B" if lines[number][20] == "A" else "A"
        yield "\n".join([*lines[:number], lines[number][:20] + other + lines[number][21:], *lines[number + 1 :]])


SIGNING = {
    "made here": (KEY, True),
    "of another tool": (pem(OTHER, PrivateFormat.TraditionalOpenSSL), True),
    "with space around": (f"\n{KEY}\n\n", True),
    "nothing": ("", False),
    "no key": ("not a key", False),
    "cut off": (KEY[: len(KEY) // 2], False),
    "public": (PUBLIC, False),
    "small": (pem(SMALL), False),
    "of another kind": (pem(CURVE), False),
    "with a passphrase": (pem(OTHER, encryption=BestAvailableEncryption(b"phrase")), False),
}


@pytest.mark.parametrize(("text", "good"), SIGNING.values(), ids=SIGNING)
def test_a_signing_key_is_what_the_api_takes(text: str, good: bool) -> None:
    assert keys.is_signing_key(text) is good
    if good:
        parse_signing_key(text.strip())
        return
    with pytest.raises(KeyFormatError):
        parse_signing_key(text)
    with pytest.raises(ValueError, match="not an RSA private key"):
        keys.public_half(text)


def test_one_changed_character_is_noticed() -> None:
    cases = list(damaged(KEY))
    assert len(cases) > 10
    assert [text for text in cases if keys.is_signing_key(text)] == []


def test_a_new_key_is_strong_and_each_one_is_another() -> None:
    assert parse_signing_key(KEY).public.key_size == keys.BITS
    assert keys.new_signing_key() != KEY


VERIFYING = {
    "one": (PUBLIC, True),
    "two with words between": (f"{PUBLIC}\nthe one before:\n{public(OTHER)}", True),
    "nothing": ("", False),
    "no key": ("not a key", False),
    "private": (KEY, False),
    "one good and one small": (PUBLIC + public(SMALL), False),
    "of another kind": (public(CURVE), False),
}


@pytest.mark.parametrize(("text", "good"), VERIFYING.values(), ids=VERIFYING)
def test_public_keys_are_what_the_api_takes_and_at_least_one(text: str, good: bool) -> None:
    assert keys.are_public_keys(text) is good
    if good:
        assert parse_verify_keys(text)
    elif text:
        with pytest.raises(KeyFormatError):
            parse_verify_keys(text)


def test_a_public_key_comes_first_and_only_once_and_what_is_no_key_goes() -> None:
    both = keys.with_public_key(f"junk {public(OTHER)} {public(SMALL)}", PUBLIC)
    assert both == PUBLIC + public(OTHER)
    assert keys.with_public_key(both, PUBLIC) == both
    assert keys.with_public_key(both, public(OTHER)) == public(OTHER) + PUBLIC


def test_the_number_of_public_keys_is_bounded() -> None:
    text = ""
    for _ in range(keys.KEPT + 3):
        text = keys.with_public_key(text, public(rsa.generate_private_key(65537, 2048)))
    assert len(parse_verify_keys(text)) == keys.KEPT + 1
