"""How Twilio signs its calls: over the address that it called and the form that it posted.

Source: twilio.com/docs/usage/security, .../usage/webhooks/webhook-rules (shared keys), and what its SDKs accept.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from notifyctl.providers.contract import Call, Credentials, Unsigned

HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
SHA1, SHA256 = "HMAC_SHA1", "HMAC_SHA256"
_DIGESTS: Mapping[str, str] = {SHA1: "sha1", SHA256: "sha256"}
_PORTS = {"https": 443, "http": 80}

Pairs = Sequence[tuple[str, str]]


def is_genuine(call: Call, pairs: Pairs, credentials: Credentials) -> bool:
    """Return whether a form was signed with the secret that the call's headers ask for; raise Unsigned without it."""
    given = call.headers.get(HEADER)
    if not given:
        raise Unsigned("the headers have no X-Twilio-Signature")
    if call.url is None:
        raise Unsigned("Twilio signs the address that it called as well: it is needed, as Twilio knows it")
    settings = _settings(call.headers.get(SETTINGS_HEADER, ""))
    algorithm = settings.get("algorithm", SHA1).upper()
    if algorithm not in _DIGESTS:
        raise Unsigned(f"it is signed with {algorithm[:40]}, and known here are {SHA1} and {SHA256}")
    token = _token(call, credentials, settings.get("key"))
    # Which of the spellings Twilio signed, its documentation leaves open.
    expected = (signature(token, url, pairs, algorithm) for url in _spellings(call.url))
    return any(hmac.compare_digest(given.strip().encode(), each.encode()) for each in expected)


def signature(token: str, url: str, pairs: Pairs, algorithm: str = SHA1) -> str:
    """Return the signature of a form posted to `url`: what the header X-Twilio-Signature holds."""
    # Several values of one name: each once, in order.
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    return b64encode(hmac.digest(token.encode(), text.encode(errors="surrogatepass"), _DIGESTS[algorithm])).decode()


def _settings(header: str) -> dict[str, str]:
    """Return what `key=...,algorithm=...` says; of several with one name the first counts."""
    found: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.partition("=")
        if value.strip():
            found.setdefault(name.strip(), value.strip())
    return found


def _token(call: Call, credentials: Credentials, shared_key: str | None) -> str:
    if call.token:
        return call.token
    if shared_key is not None:
        raise Unsigned(f"it is signed with the shared key {shared_key[:80]}, whose secret is not stored here")
    if credentials.api_key.startswith("SK"):
        raise Unsigned("Twilio signs with the account's auth token, and the stored credential is an API key (SK...)")
    return credentials.api_secret or ""


def _spellings(url: str) -> list[str]:
    """Return the address as given, without user and password, each with the port and without any."""
    try:
        parts = urlsplit(url)
        found = list(_with_and_without_port(parts)) if parts.hostname else []
    except ValueError:
        found = []
    return list(dict.fromkeys([url, *found]))


def _with_and_without_port(parts: SplitResult) -> Iterator[str]:
    userinfo, _, host = parts.netloc.rpartition("@")
    if parts.port is not None:
        host = host.removesuffix(f":{parts.port}")
    port = parts.port or _PORTS.get(parts.scheme)
    for before in ("", f"{userinfo}@" if userinfo else ""):
        yield parts._replace(netloc=f"{before}{host}").geturl()
        yield parts._replace(netloc=f"{before}{host}:{port}").geturl()
