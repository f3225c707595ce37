"""Google's token endpoint: a signed assertion in, an access token out.

Source: developers.google.com/identity/protocols/oauth2/service-account and RFC 7523.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply, as_json, page
from notifyctl.sandbox.identity import ServiceAccount

PATH = "/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPES = frozenset(
    {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
)
MAX_LIFE_SECONDS = 3_600
SKEW_SECONDS = 300

CODES = {
    "internal_failure": (500, "Backend Error"),
    "invalid_client": (401, "The OAuth client was not found."),
    "invalid_grant": (400, "Invalid JWT Signature."),
    "invalid_scope": (400, "Invalid OAuth scope or ID token audience provided."),
    "temporarily_unavailable": (503, "The service is temporarily unavailable."),
}

_TIMES = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim."
)


class Tokens:
    """Gives access tokens for the assertions of a service account with any of its keys; without one, to nobody.

    `life_s` is how long a token is valid, in seconds.
    """

    name = "token"
    challenge = 'Bearer realm="https://accounts.google.com/"'

    def __init__(self, random: Random, accounts: Sequence[ServiceAccount], life_s: int) -> None:
        self._random = random
        self._accounts = accounts
        self._life_s = life_s
        self._ends: dict[str, float] = {}

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to the token endpoint."""
        return path == PATH

    def handle(self, call: IncomingRequest) -> Handled:
        """Return the answer to a request for a token."""
        if call.method != "POST":
            return Handled(page(404))
        form = parse_qs(call.body.decode(errors="replace"))
        if form.get("grant_type") != [GRANT]:
            return Handled(_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', [''])[0]}"))
        if "assertion" not in form:
            return Handled(_error("invalid_request", "Missing required parameter: assertion"))
        refused = self._refusal(form["assertion"][0], call.now)
        return Handled(refused or self._issue(call.now))

    def is_valid(self, token: str, now: float) -> bool:
        """Return whether this token was given out and has not ended."""
        return self._ends.get(token, 0) > now

    def _issue(self, now: float) -> Reply:
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        token = f"ya29.sandbox.{self._random.getrandbits(192):048x}"
        self._ends[token] = now + self._life_s
        return as_json(200, {"access_token": token, "expires_in": self._life_s, "token_type": "Bearer"})

    def _refusal(self, assertion: str, now: float) -> Reply | None:
        """Return what is wrong with the assertion, None when nothing is."""
        parts = _decode(assertion)
        if parts is None:
            return _error("invalid_grant", "Invalid JWT: Failed to parse JWT")
        header, claims, signed, signature = parts
        mine = [account for account in self._accounts if claims.get("iss") == account.file["client_email"]]
        if not mine:
            return _error("invalid_grant", "Invalid grant: account not found")
        fitting = [account for account in mine if header.get("kid") in (None, account.key_id)]
        account = next((account for account in fitting if _has_signed(account, signed, signature)), None)
        if header.get("alg") != "RS256" or account is None:
            return _error("invalid_grant", "Invalid JWT Signature.")
        return _claims_refusal(claims, account.file["token_uri"], now)


def _has_signed(account: ServiceAccount, signed: bytes, signature: bytes) -> bool:
    try:
        account.public_key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def refusal(what: str, now: float) -> Reply | None:
    """Return what the endpoint answers with this status, or by one of `CODES`; None when it is neither."""
    del now
    if what in CODES:
        status, description = CODES[what]
        return as_json(status, {"error": what, "error_description": description})
    if not what.isdecimal():
        return None
    status = int(what)
    if status in (400, 401):
        return as_json(status, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    if status >= 500 and status != 502:
        return as_json(status, {"error": "internal_failure", "error_description": "Backend Error"})
    return page(status)


def _claims_refusal(claims: dict[str, Any], token_uri: str, now: float) -> Reply | None:
    # google-auth sends Google's constant whatever the key file says; other libraries send the file's address.
    if claims.get("aud") not in (GOOGLE_AUDIENCE, token_uri):
        return _error("invalid_grant", "Invalid JWT: Failed audience check.")
    began, ends = claims.get("iat"), claims.get("exp")
    if type(began) is not int or type(ends) is not int:
        return _error("invalid_grant", _TIMES)
    if not (ends - MAX_LIFE_SECONDS <= began <= now + SKEW_SECONDS and ends > now - SKEW_SECONDS):
        return _error("invalid_grant", _TIMES)
    if SCOPES.isdisjoint(str(claims.get("scope", "")).split()):
        return _error("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return None


def _decode(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes] | None:
    """Return header, claims, what is signed, and the signature."""
    try:
        header, claims, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split("."))
        parsed = json.loads(header), json.loads(claims)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(part, dict) for part in parsed):
        return None
    return *parsed, assertion.rpartition(".")[0].encode(), signature


def _error(code: str, description: str) -> Reply:
    return as_json(400, {"error": code, "error_description": description})
