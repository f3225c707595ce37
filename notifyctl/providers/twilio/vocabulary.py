"""What Twilio's codes and words say of a number: the same whether it answers, calls or is asked.

Sources: twilio.com/docs/api/errors (21211, 21610, 21614, 21635, 30005), twilio.com/docs/messaging/tutorials/advanced-
opt-out and help.twilio.com article 223134027 (the words of opting out and in).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from notifyctl.core.receipt import Receipt
from notifyctl.core.suppression import SuppressionCause
from notifyctl.core.text import one_line

REFUSED: Mapping[int, SuppressionCause] = {
    21211: SuppressionCause.BOUNCE,  # no number at all
    21610: SuppressionCause.OPT_OUT,  # answered STOP
    21614: SuppressionCause.BOUNCE,  # no mobile number
    21635: SuppressionCause.BOUNCE,  # a landline
    30005: SuppressionCause.BOUNCE,  # unknown handset
}
"""The codes after which nothing is sent to the number any more. 30006 is not among them: it may be the short code."""

OPT_OUT = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke"})
OPT_IN = frozenset({"start", "yes", "unstop"})
_TYPES: Mapping[str, bool] = {"stop": False, "start": True}
_BESIDE = re.compile(r"[\s\W_]+")


def inbound(form: Mapping[str, str]) -> Receipt | None:
    """Return what a message that somebody sent to us says of writing to that number; None for nothing.

    `OptOutType` decides where Twilio gives it: Advanced Opt-Out has words of its own in every language. One that is not
    known here says nothing, and a STOP with it is a STOP.
    """
    body, given = form.get("Body", ""), form.get("OptOutType", "").strip().lower()
    word = body.strip().casefold()
    lifts = _TYPES.get(given)
    if lifts is None and given != "help":
        # Twilio heeds messages of a single word only ("STOP PLEASE" is none). Signs and blanks beside a STOP take
        # nothing from it, nor do wide letters; to begin again, it has to be that very word.
        letters = _BESIDE.sub("", unicodedata.normalize("NFKC", word))
        lifts = False if letters in OPT_OUT else True if word in OPT_IN else None
    address = form.get("From", "").strip()
    if lifts is None or not address:
        return None
    text = one_line(f"{given.upper() or 'answered'} {body}", 100).strip()
    return Receipt(None, text, address=address, dead=not lifts, cause=SuppressionCause.OPT_OUT, lifts=lifts)
