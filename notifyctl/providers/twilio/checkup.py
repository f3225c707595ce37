"""Whether a login works and its account is active.

Sources: twilio.com/docs/iam/api/account, and .../api/errors/20003 on what an API key may not ask.
"""

from __future__ import annotations

from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, Request, Response
from notifyctl.providers.twilio import answers
from notifyctl.providers.twilio.account import authorization, url

# An API key of the usual kind may not ask about the account. It may list messages, and on this day there were none.
_NO_MESSAGES = "/Messages.json?PageSize=1&DateSent=2000-01-01"


def question(credentials: Credentials, default_url: str) -> Request:
    """Return the request for the account, or for a list without messages where the login is an API key."""
    resource = ".json" if credentials.api_key.startswith("AC") else _NO_MESSAGES
    headers = {"Authorization": authorization(credentials), "Accept": "application/json"}
    return Request("GET", url(credentials, default_url, resource), headers, b"")


def read(response: Response) -> str | None:
    """Return what is wrong with the login or its account, None when it is active."""
    # The account's own answer holds its token: nothing but the status is taken from it.
    if response.status >= 400:
        outcome = answers.read(response)
        return f"{outcome.code} {outcome.message}" if outcome.code else outcome.message
    answer = reading.json_object(response.body) if response.status == 200 else {}
    if "messages" in answer:
        return None
    status = reading.text(answer.get("status"))
    if status in ("suspended", "closed"):
        return f"the account is {status}: Twilio sends nothing for it until that is settled there"
    return None if status == "active" else "the answer is not Twilio's: check base_url"
