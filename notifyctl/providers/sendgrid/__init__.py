"""SendGrid: e-mail over the Mail Send API, version 3."""

from __future__ import annotations

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response
from notifyctl.providers.sendgrid import answers
from notifyctl.providers.sendgrid.mail import mail, sender


class SendGrid:
    """The adapter. Settings: `from` (needed), `reply_to`, `base_url`, `sandbox_mode` (checked there, never sent)."""

    name = "sendgrid"
    channel = Channel.EMAIL
    default_url = "https://api.sendgrid.com"

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("API key", credentials.api_key)
        problems += fields.problems_with_base_url(credentials)
        configured = credentials.config.get("from")
        if not configured:
            return [*problems, 'the sender "from" is missing']
        try:
            sender({"from": configured}, credentials)
        except InvalidMessage as problem:
            problems.append(str(problem))
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that mails `message`; raise InvalidMessage when none can."""
        return Request(
            "POST",
            fields.base_url(credentials, self.default_url) + "/v3/mail/send",
            {
                "Authorization": f"Bearer {credentials.api_key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            fields.encode_json(mail(message, credentials)),
        )

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; a 202 counts even without its `X-Message-Id`."""
        return answers.read(response)
