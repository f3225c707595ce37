"""Whether a key works and may send mail: SendGrid is asked for the key's scopes.

Source: twilio.com/docs/sendgrid/api-reference/api-key-permissions.
"""

from __future__ import annotations

from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, Request, Response
from notifyctl.providers.sendgrid import answers

SCOPE = "mail.send"


def question(credentials: Credentials, default_url: str) -> Request:
    """Return the request for the scopes of the key itself, which every key may make."""
    headers = {"Authorization": f"Bearer {credentials.api_key}", "Accept": "application/json"}
    return Request("GET", fields.base_url(credentials, default_url) + "/v3/scopes", headers, b"")


def read(response: Response) -> str | None:
    """Return what is wrong with the key, None when it may send mail."""
    if response.status >= 400:
        return answers.read(response).message
    scopes = reading.json_object(response.body).get("scopes")
    if response.status != 200 or not isinstance(scopes, list):
        return "the answer is not SendGrid's: check base_url"
    return None if SCOPE in scopes else "the key may not send mail: give it the scope Mail Send"
