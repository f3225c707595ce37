"""Firebase Cloud Messaging: push messages over its HTTP API, version 1."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Builder, Credentials, Request, Response
from notifyctl.providers.fcm import answers, checkup, plain
from notifyctl.providers.fcm.push import encoded


class Fcm:
    """The adapter. It needs the service account's key file.

    `credentials.access_token` is the OAuth2 token; without one the request is built unsigned, to be looked at.
    """

    name = "fcm"
    channel = Channel.PUSH
    default_url = "https://fcm.googleapis.com"
    settings: Mapping[str, str] = {
        "project_id": "the project, where the key file names none",
        "base_url": fields.BASE_URL_HELP,
    }

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_base_url(credentials)
        account = credentials.service_account
        if account is None:
            return [*problems, "the service account's key file is missing"]
        problems += [
            f"the service account's key file has no {key}"
            for key in ("client_email", "private_key", "token_uri")
            if not isinstance(account.get(key), str) or not account[key]
        ]
        if not _project(credentials):
            problems.append("project_id is missing, in the key file and in the settings")
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that pushes `message`; raise InvalidMessage when none can."""
        return Request("POST", self._url(credentials), _headers(credentials), encoded(message))

    def builder(self, credentials: Credentials) -> Builder:
        """Return what `build` is with these credentials, quick where a push is a usual one."""
        url, headers = self._url(credentials), _headers(credentials)
        return lambda message: Request("POST", url, headers, plain.encoded(message) or encoded(message))

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; only a 200 that names the new message is a success."""
        return answers.read(response)

    def checkup(self, credentials: Credentials) -> Request:
        """Return the request that shows whether the service account may send for the project."""
        return checkup.question(self._url(credentials), credentials)

    def read_checkup(self, response: Response) -> str | None:
        """Return what is wrong with the account or the project, None when nothing is."""
        return checkup.read(response)

    def _url(self, credentials: Credentials) -> str:
        project = quote(_project(credentials), safe=":")
        return f"{fields.base_url(credentials, self.default_url)}/v1/projects/{project}/messages:send"


def _headers(credentials: Credentials) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if credentials.access_token:
        headers["Authorization"] = f"Bearer {credentials.access_token}"
    return headers


def _project(credentials: Credentials) -> str:
    account = credentials.service_account or {}
    return str(account.get("project_id") or credentials.config.get("project_id") or "")
