"""An address is taken out of what others say of it, however they spell it."""

from __future__ import annotations

import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.spelling import HIDDEN, without

ADDRESSES = ("+14155552345", "Anna.B@example.org", "jörg@bücher.example", '"a b"@example.org', "dGVz:APA91b/x_-+=")


@pytest.mark.parametrize("address", ADDRESSES)
def test_encoded_or_escaped(address: str) -> None:
    """As in a URL (RFC 3986, 2.1), a form, a JSON string (RFC 8259, 7), HTML, and in other capitals."""
    in_json = json.dumps(address)[1:-1]
    spelled = [address, quote(address, safe=""), quote(address), quote_plus(address), in_json, escape(address)]
    marks = [each for each in address if not each.isalnum()]
    for form in ("&#{};", "&#x{:x};", "\\u{:04X}"):
        spelled.append("".join(form.format(ord(each)) if each in marks else each for each in address))
    spelled.append(in_json.replace("/", "\\/"))
    if "@" in address:
        spelled += [address.upper(), quote(address.upper()), json.dumps(address.upper())[1:-1]]
    for each in spelled:
        assert without(address, f"to {each}, no") == f"to {HIDDEN}, no", each


@pytest.mark.parametrize("spelled", ["+1 415 555 2345", "+1 (415) 555-2345", "+1-415-555-2345", "1.415.555.2345"])
def test_a_number_in_groups(spelled: str) -> None:
    """As people write numbers (RFC 3966, 5.1.1: visual separators)."""
    assert without("+14155552345", f"to {spelled}, no") == f"to {HIDDEN}, no"


@pytest.mark.parametrize(
    "spelled", ["jörg@xn--bcher-kva.example", "JÖRG@xn--bcher-kva.EXAMPLE", "jo\u0308rg@bu\u0308cher.example"]
)
def test_a_domain_in_ascii_and_letters_in_parts(spelled: str) -> None:
    """A-labels (RFC 5891), and letters that are composed or not (Unicode, annex 15)."""
    for each in (spelled, quote(spelled), json.dumps(spelled)[1:-1]):
        assert without("jörg@bücher.example", f"<{each}>") == f"<{HIDDEN}>", each


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.text(max_size=40), st.text(max_size=40))
def test_no_number_is_left(number: str, before: str, after: str) -> None:
    """Whatever stands around it; and what is no address stays as it is."""
    assert number[1:] not in without(number, before + number + after)
    assert without(number, "rejected: 30005") == "rejected: 30005"
