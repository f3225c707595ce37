"""What stands in the audit trail shows no secret, no message and no whole address."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.audit.masking import masked, masked_text

PEOPLE = st.from_regex(r"[a-z][a-z0-9._%+-]{0,20}@[a-z]{1,10}\.(org|com)", fullmatch=True)
PHONES = st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True)
AROUND = st.sampled_from(("", " ", "<", ">", "(", ")", "'", '"', ",", ":", ";", "to=", "mailto:", "=> "))


@given(PEOPLE | PHONES, AROUND, AROUND, st.sampled_from(("email", "address", "reason", "note", "said", "to", "config")))
def test_no_address_is_legible_in_whatever_field(address: str, before: str, after: str, name: str) -> None:
    """As a value of its own, in a list of old and new, deeper, or in the words of a refusal."""
    for value in (address, [None, address], [{"x": address}, None], f"550 {before}{address}{after} is unknown"):
        said = json.dumps(masked({name: value}))
        assert address not in said
        person, at, _ = address.partition("@")
        assert not at or len(person) < 3 or f"{person}@" not in said


@pytest.mark.parametrize("name", ["api_key", "api_secret", "secret", "private_key", "password", "smtp_password"])
@pytest.mark.parametrize("value", ["hunter2", [None, "hunter2"], {"key": "hunter2"}, [{"a": ["hunter2"]}]])
def test_no_secret_is_written_down(name: str, value: object) -> None:
    """Only that there is one, or that it changed."""
    assert "hunter2" not in json.dumps(masked({name: value}))
    assert masked({name: "changed"}) == {name: "changed"}


@pytest.mark.parametrize("name", ["body", "subject", "text", "html", "payload", "data"])
def test_no_message_is_written_down(name: str) -> None:
    """Of a message its length."""
    assert masked({name: [None, "your code is 1234"]}) == {name: [None, "(17 characters)"]}
    assert "1234" not in json.dumps(masked({name: {"v": 1, "x": "1234"}}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://anna:pw@example.org/hook?token=abc&x=1", "https://***@example.org/hook?***"),
        ("whatsapp:+14155552345 said no", "whatsapp:+1***45 said no"),
        ("(415) 555-2345 is +1 415 555-2345", "41***45 is +1***45"),
        ("0170/1234567, 030 / 1234567 or 06 12 34 56 78", "01***67, 03***67 or 06***78"),
        ("415-555-2345 1.415.555.2345 (030) 12345678", "41***45 14***45 03***78"),
        ('to "bob smith"@example.org', "to ***@example.org"),
        ('{"to":"\\"bob smith\\"@example.org"}', '{"to":"\\***@example.org"}'),
        ("bob@[192.0.2.1] is away", "b***@[192.0.2.1] is away"),
        ("jo@example.org", "***@example.org"),
        ("leaked nctl_live_" + "0" * 44 + "1AIOmu today", "leaked *** today"),
        ("the key nctl_live_Ab12… was made", "the key nctl_live_Ab12… was made"),
        ("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "***"),
        ("key SG.abcdefghij.klmnopqrstuv is old", "key *** is old"),
        ("joanna@example.org", "j***@example.org"),
    ],
)
def test_what_is_left_of_it(text: str, shown: str) -> None:
    """Enough to recognise it by for whoever knows it."""
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "value",
    [
        "3f2c1d4e-0000-4000-8000-123456789012",
        "0123456789abcdef" * 4,
        "2030-10-25T09:00:00.000Z",
        "5 failures within 60 s",
        "01.02.2026 10:30, 05/06/2026 or 2026-02-01 09:00:00",
        "550 5.1.1 from 192.168.100.200:25 (code 404)",
        '["x","@handle"]',
        1700000000000,
        None,
        True,
    ],
)
def test_what_is_no_address_stays(value: object) -> None:
    """Ids, digests, times and numbers are what the trail is read for."""
    assert masked({"reason": value, "before": [value, None]}) == {"reason": value, "before": [value, None]}
