"""One call of a service account's token endpoint: google-auth over httpx. Slow to import: `oauth` does it late."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

import httpx
from google.auth import exceptions, transport
from google.oauth2 import service_account as google

from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Response
from notifyctl.providers.fault import fault_of
from notifyctl.providers.inflate import BODY_BYTES, readable
from notifyctl.providers.oauth import Token
from notifyctl.providers.reading import explained, retry_after_ms

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# By a part of what the token endpoint says, in small letters.
_EXPLANATIONS: Mapping[str, str] = {
    "signature": "the key is not, or no longer, one of the service account's: make a new key file",
    "not found": "there is no such service account any more: make a key file of another",
    "disabled": "the service account is disabled: enable it, or make a key file of another",
    "reasonable timeframe": "this machine's clock is wrong: set it",
}
ASSUMED_SECONDS = 300.0  # how long a token is taken to be valid when the endpoint does not say


def fetch(account: Mapping[str, Any], timeout_s: float) -> Token | Outcome:
    """Return a new access token for the parsed key file `account`, or why there is none.

    `timeout_s` bounds each of the at most three requests that google-auth makes when the endpoint has a hiccup.
    CONFIG: the key is malformed or refused. TRANSIENT: the network, or an answer that says nothing about the key.
    """
    try:
        credentials = google.Credentials.from_service_account_info(dict(account), scopes=[SCOPE])  # type: ignore[no-untyped-call]
    except Exception as error:
        # Only the kind of error: what the parsers say may quote the file, which holds the key.
        return Outcome(Kind.CONFIG, f"the service account's key file is malformed ({type(error).__name__})")
    request = _Transport(timeout_s)
    try:
        credentials.refresh(request)
        if not isinstance(credentials.token, str) or not credentials.token:
            return _outcome(Kind.TRANSIENT, "answered without an access token", request)
    except exceptions.RefreshError as error:
        return _refused(error, request)
    except exceptions.TransportError as error:
        return replace(_outcome(Kind.TRANSIENT, str(error), request), fault=fault_of(error))
    except Exception as error:  # google-auth trips over answers that are not the JSON it expects
        return _outcome(Kind.TRANSIENT, f"answered with something that is no token ({type(error).__name__})", request)
    ends = credentials.expiry
    # google-auth keeps UTC without saying so.
    return Token(credentials.token, ends.replace(tzinfo=UTC).timestamp() if ends else time.time() + ASSUMED_SECONDS)


class _Answer(transport.Response):
    """What google-auth reads of an answer."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def data(self) -> bytes:
        return self._answer.body


class _Transport(transport.Request):
    """httpx as google-auth's way to the network; it remembers the last answer, for the reason of a failure."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.last: Response | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Answer:
        self.last = None
        plain = {**(headers or {}), "Accept-Encoding": "identity"}
        try:
            with (
                httpx.Client(timeout=timeout or self._timeout_s, trust_env=False) as client,
                client.stream(method, url, content=body, headers=plain) as answer,
            ):
                body = readable(_body(answer, self._timeout_s), answer.headers.get("content-encoding", ""))
                self.last = Response(answer.status_code, dict(answer.headers), body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise exceptions.TransportError(one_line(f"the token endpoint cannot be reached: {error}")) from error  # type: ignore[no-untyped-call]
        return _Answer(self.last)


def _body(answer: httpx.Response, timeout_s: float) -> bytes:
    """Return the body, cut at `BODY_BYTES`; httpx's own time limits begin anew with every byte that arrives."""
    deadline = time.monotonic() + timeout_s
    body = b""
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) >= BODY_BYTES:
            return body[:BODY_BYTES]
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer did not end")
    return body


def _refused(error: exceptions.RefreshError, request: _Transport) -> Outcome:
    """Return CONFIG where the endpoint judged the key or the request, TRANSIENT where it was in trouble itself."""
    status = request.last.status if request.last else 0
    troubled = status < 400 or status in (408, 429) or status >= 500 or error.retryable
    details = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], dict) else {}
    code, theirs = details.get("error"), str(error.args[0]) if error.args else "refused"
    ours = next((words for part, words in _EXPLANATIONS.items() if part in theirs.lower()), None)
    return _outcome(
        Kind.TRANSIENT if troubled else Kind.CONFIG,
        theirs if troubled else explained(ours, theirs),
        request,
        code if isinstance(code, str) else None,
    )


def _outcome(kind: Kind, message: str, request: _Transport, code: str | None = None) -> Outcome:
    last = request.last
    return Outcome(
        kind,
        one_line(f"no access token: {message}"),
        code=one_line(code, 64) if code else None,
        http_status=last.status if last else None,
        retry_after_ms=retry_after_ms(last.headers) if last else None,
    )
