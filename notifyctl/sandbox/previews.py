"""Takes what `templates preview` would like to see on the sandbox's page: a provider's request that sends nothing."""

from __future__ import annotations

from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply
from notifyctl.sandbox.journal import Journal

_PREFIX = "/previews/"
_KNOWN = frozenset({"sendgrid", "twilio", "fcm", "smtp"})


def take(call: IncomingRequest, journal: Journal) -> Reply | None:
    """Keep what is posted to a provider's address of previews, and answer where it is shown; None for other requests.

    Nobody signs in: whoever reaches this machine's loopback may as well post it as a provider's message.
    """
    provider = call.path.removeprefix(_PREFIX)
    if call.method != "POST" or not call.path.startswith(_PREFIX) or provider not in _KNOWN or not call.is_local():
        return None
    number = journal.write(provider, call, Handled(Reply(201), recipient="(preview)", checks=True), 201, None)
    return Reply(201, headers={"Location": f"/messages/{number}"})
