"""jwt: lets requests pass that bring a token signed with the key of a consumer.

It checks what Kong checks, in that order and with its words, holes included: without `claims_to_verify` expired
tokens pass, and a key is not looked at before a token is there that was signed with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tests.fakes.kong.exchange import Entity, Exchange, Halt
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins.definition import Definition, definition
from tests.fakes.kong.schema import Conditional

_YEAR = 31536000
_BEARER = re.compile(r"\s*[Bb]earer\s+(.+)")
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CONSUMER_HEADERS = {"X-Consumer-ID": "id", "X-Consumer-Custom-ID": "custom_id", "X-Consumer-Username": "username"}


def algorithms(version: Version) -> Sequence[str]:
    """Return the algorithms that a credential may have."""
    old = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384")
    return (*old, "ES512", "PS256", "PS384", "PS512", "EdDSA") if version.since(3, 7) else old


def public_key_error(value: str) -> str | None:
    """Judge the key of a credential, as Kong does: any PEM key is taken, a private one, too."""
    return None if _key(value) else "invalid key"


def definition_of(version: Version) -> Definition:
    texts = {"type": "set", "elements": {"type": "string"}}
    config = {
        "uri_param_names": {**texts, "default": ["jwt"]},
        "cookie_names": {**texts, "default": []},
        "key_claim_name": {"type": "string", "len_min": 1, "default": "iss"},
        "secret_is_base64": {"type": "boolean", "required": True, "default": False},
        "claims_to_verify": {
            "type": "set",
            "elements": {"type": "string", "required": True, "one_of": ["exp", "nbf"]},
        },
        "anonymous": {"type": "string"},
        "run_on_preflight": {"type": "boolean", "required": True, "default": True},
        "maximum_expiration": {"type": "number", "default": 0, "between": [0, _YEAR]},
        "header_names": {**texts, "default": ["authorization"]},
    }
    if version.since(3, 8):
        config["realm"] = {"type": "string"}
    long_lived = Conditional("config.maximum_expiration", {"gt": 0}, "config.claims_to_verify", {"contains": "exp"})
    return definition(config, long_lived, per_consumer=False)


def access(plugin: Entity, exchange: Exchange) -> None:
    config = plugin["config"]
    if exchange.method == "OPTIONS" and not config["run_on_preflight"]:
        return
    anonymous = config["anonymous"]
    if anonymous and exchange.credential is not None:
        return
    try:
        _authenticate(config, exchange)
    except Halt as refusal:
        if not anonymous or refusal.status != 401:
            if refusal.status == 401 and exchange.version.since(3, 8):
                realm = f' realm="{config["realm"]}"' if config["realm"] else ""
                refusal.headers.setdefault("WWW-Authenticate", f"Bearer{realm}")
            raise
        consumer = exchange.config.consumer(anonymous)
        if consumer is None:
            raise Halt(500, "An unexpected error occurred") from None
        _identify(exchange, consumer, None)


def _authenticate(config: Mapping[str, Any], exchange: Exchange) -> None:
    tokens = list(dict.fromkeys(_tokens(config, exchange)))
    if not tokens:
        raise Halt(401, "Unauthorized")
    if len(tokens) > 1:
        raise Halt(401, "Multiple tokens provided")
    header, claims, signed, signature = _parsed(tokens[0], exchange.version)
    name = config["key_claim_name"]
    key = claims.get(name, header.get(name))
    if key is None:
        raise Halt(401, f"No mandatory '{name}' in claims")
    if key == "":
        raise Halt(401, f"Invalid '{name}' in claims")
    if not isinstance(key, str):
        raise Halt(500, "An unexpected error occurred")
    credential = exchange.config.jwt_secret(key)
    if credential is None:
        raise Halt(401, f"No credentials found for given '{name}'")
    algorithm = credential["algorithm"] or "HS256"
    if header.get("alg") != algorithm:
        raise Halt(401, "Invalid algorithm")
    secret = credential["secret" if algorithm.startswith("HS") else "rsa_public_key"]
    if secret and algorithm.startswith("HS") and config["secret_is_base64"]:
        secret = _decoded(secret)
    if not secret:
        raise Halt(401, "Invalid key/secret")
    if not _signed(algorithm, secret, signed, signature):
        raise Halt(401, "Invalid signature")
    if errors := _claim_errors(config, claims, exchange.now):
        raise Halt(401, errors)
    consumer = exchange.config.consumer(credential["consumer"]["id"])
    if consumer is None:
        raise Halt(401, f"Could not find consumer for '{name}={key}'")
    _identify(exchange, consumer, credential)


def _tokens(config: Mapping[str, Any], exchange: Exchange) -> Iterator[str]:
    for name in config["uri_param_names"] or ():
        yield from exchange.query_values(name)
    cookies = dict(one.strip().partition("=")[::2] for one in (exchange.header("Cookie") or "").split(";"))
    for name in config["cookie_names"] or ():
        if cookies.get(name):
            yield cookies[name]
    for name in config["header_names"] or ():
        if found := _BEARER.match(exchange.header(name) or ""):
            yield found[1]


def _parsed(token: str, version: Version) -> tuple[Mapping[str, Any], Mapping[str, Any], bytes, bytes]:
    """Return header and claims of a token, what of it is signed, and the signature."""
    parts = token.split(".")
    try:
        header, claims = (json.loads(_decoded(part) or b"") for part in parts[:2])
        signature = _decoded(parts[2]) if len(parts) == 3 else None
    except ValueError:
        raise Halt(401, "Bad token; invalid JSON") from None
    if signature is None:
        raise Halt(401, "Bad token; invalid JSON")
    if not isinstance(header, dict) or str(header.get("typ", "JWT")).upper() != "JWT":
        raise Halt(401, "Bad token; invalid typ")
    if header.get("alg") not in algorithms(version):
        raise Halt(401, "Bad token; invalid alg")
    if not isinstance(claims, dict):
        raise Halt(401, "Bad token; invalid claims")
    return header, claims, ".".join(parts[:2]).encode(), signature


def _decoded(text: str) -> bytes | None:
    """Return what stands for a text in base64, with the alphabet of URLs or the other one."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None


def _signed(algorithm: str, secret: str | bytes, message: bytes, signature: bytes) -> bool:
    if algorithm.startswith("HS"):
        key = secret if isinstance(secret, bytes) else secret.encode()
        return hmac.compare_digest(hmac.digest(key, message, getattr(hashlib, f"sha{algorithm[2:]}")), signature)
    public = _key(str(secret))
    digest = _HASHES.get(algorithm[2:], hashes.SHA256())
    try:
        match public:
            case rsa.RSAPublicKey() if algorithm.startswith("RS"):
                public.verify(signature, message, padding.PKCS1v15(), digest)
            case rsa.RSAPublicKey() if algorithm.startswith("PS"):
                public.verify(signature, message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
            case ec.EllipticCurvePublicKey() if algorithm.startswith("ES"):
                half = len(signature) // 2
                r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                public.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() if algorithm == "EdDSA":
                public.verify(signature, message)
            case _:
                return False
    except InvalidSignature:
        return False
    return True


def _key(pem: str) -> Any:
    """Return the public key in a text, or of the private key in it. Kong minds no label, so RSA labels may be wrong."""
    text = re.sub(r"(BEGIN|END) RSA PUBLIC KEY", r"\1 PUBLIC KEY", pem)
    for one in (text, pem):
        try:
            return load_pem_public_key(one.encode())
        except ValueError:
            continue
    try:
        return load_pem_private_key(pem.encode(), None).public_key()
    except (ValueError, TypeError):
        return None


def _claim_errors(config: Mapping[str, Any], claims: Mapping[str, Any], now: float) -> dict[str, str]:
    errors = {}
    for name in config["claims_to_verify"] or ():
        value = claims.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            errors[name] = "must be a number"
        elif name == "exp" and value <= now:
            errors[name] = "token expired"
        elif name == "nbf" and value > now:
            errors[name] = "token not valid yet"
    longest = config["maximum_expiration"] or 0
    if not errors and longest > 0 and (claims.get("exp") is None or claims["exp"] - now > longest):
        errors["exp"] = "exceeds maximum allowed expiration"
    return errors


def _identify(exchange: Exchange, consumer: Entity, credential: Entity | None) -> None:
    """Tell the upstream who asks. What the client said of that is replaced, or removed where there is nothing."""
    exchange.consumer, exchange.credential = consumer, credential
    told = {header: consumer[field] for header, field in _CONSUMER_HEADERS.items()}
    told["X-Credential-Identifier"] = credential["key"] if credential else None
    told["X-Anonymous-Consumer"] = None if credential else "true"
    for header, value in told.items():
        exchange.headers.popall(header, None)
        if value is not None:
            exchange.headers[header] = value
