"""Whether a service account may send for its project: FCM validates a message to a topic, and sends nothing.

Source: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send (`validateOnly`).
"""

from __future__ import annotations

from notifyctl.core.outcome import Kind
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, Request, Response
from notifyctl.providers.fcm import answers

_MESSAGE = {"message": {"topic": "notifyctl", "data": {"test": "1"}}, "validate_only": True}


def question(send_url: str, credentials: Credentials) -> Request:
    """Return the request to send that is only validated."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if credentials.access_token:
        headers["Authorization"] = f"Bearer {credentials.access_token}"
    return Request("POST", send_url, headers, fields.encode_json(_MESSAGE))


def read(response: Response) -> str | None:
    """Return why the message would not be sent, None when it would."""
    outcome = answers.read(response)
    if outcome.kind is Kind.ACCEPTED:
        return None
    return "the answer is not FCM's: check base_url" if outcome.kind is Kind.UNKNOWN else outcome.message
