"""Words of opting out as people type them."""

from __future__ import annotations

import pytest

from notifyctl.providers.twilio.vocabulary import OPT_IN, OPT_OUT, inbound

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


@pytest.mark.parametrize("word", sorted(OPT_OUT))
def test_an_opt_out_in_full_width_letters_is_one(word: str) -> None:
    """Unicode, UAX #15: letters of full width are the same letters; who writes STOP with them is not written to."""
    receipt = inbound({"Body": word.upper().translate(_WIDE), "From": "+14155552345"})

    assert receipt is not None
    assert receipt.dead
    assert not receipt.lifts


@pytest.mark.parametrize("word", sorted(OPT_IN))
def test_beginning_again_takes_the_very_word(word: str) -> None:
    """A number is written to again only after a word that Twilio itself takes for START."""
    assert inbound({"Body": word.translate(_WIDE), "From": "+14155552345"}) is None


@pytest.mark.parametrize(
    ("given", "body", "lifts"),
    [
        ("STOP", "ARRET", False),
        ("stop", "START", False),
        ("START", "INIZIA", True),
        ("HELP", "STOP", None),
        ("SOMETHING NEW", "STOP", False),
        ("SOMETHING NEW", "ARRET", None),
        ("", "ARRET", None),
    ],
)
def test_what_twilio_took_it_for(given: str, body: str, lifts: bool | None) -> None:
    """Its OptOutType decides (STOP, START, HELP), whatever the word; one that is none of these takes no STOP away."""
    receipt = inbound({"Body": body, "From": "+14155552345", "OptOutType": given})
    assert (None if receipt is None else receipt.lifts) is lifts


@pytest.mark.parametrize("body", ["STOP PLEASE", "PLEASE CANCEL", "UNSUBSCRIBE me", "stopp", "ARRET", "HELP", ""])
def test_only_messages_of_a_single_word_opt_out(body: str) -> None:
    """help.twilio.com article 223134027: a keyword with other words is none, with or without Twilio in between."""
    assert inbound({"Body": body, "From": "+14155552345"}) is None
