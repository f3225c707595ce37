"""Signatures are those of Standard Webhooks 1.0.0: its own example, and what its text demands."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.webhook import signing

OLD, NEW, OTHER = (bytes([number]) * 24 for number in (1, 2, 3))
BODY = b'{"type":"notification.sent"}'
NOW = 1_700_000_000


def test_the_example_of_the_specification() -> None:
    """Its secret has 24 bytes; this is what its libraries' tests have."""
    secret = signing.secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secrets", [[OLD], [NEW], [OLD, NEW], [OTHER, OLD]])
def test_who_knows_one_of_the_secrets_believes_it(secrets: list[bytes]) -> None:
    """While both sign, receivers with the old and with the new one do."""
    given = signing.headers("id", NOW, BODY, [NEW, OLD])
    assert signing.objection(given, BODY, secrets, NOW + 299) is None


def test_nobody_believes_what_was_changed() -> None:
    """The id, the timestamp and each byte of the body are signed."""
    good = signing.headers("id", NOW, BODY, [OLD])
    assert signing.objection(good, BODY + b" ", [OLD], NOW)
    assert signing.objection(good, BODY, [NEW], NOW)
    for name, value in (("webhook-id", "id2"), ("webhook-timestamp", str(NOW + 1)), ("webhook-signature", "v1,AAAA")):
        assert signing.objection({**good, name: value}, BODY, [OLD], NOW)
        assert "has no" in (signing.objection({**good, name: ""}, BODY, [OLD], NOW) or "")


@pytest.mark.parametrize("at", ["x", "-1", "1.5", "1e9", "", "9" * 40, "１７００００００００", "0x1"])
def test_a_timestamp_that_is_none_is_refused(at: str) -> None:
    """And raises nothing."""
    assert signing.objection({**signing.headers("id", NOW, BODY, [OLD]), "webhook-timestamp": at}, BODY, [OLD], NOW)


def test_what_is_old_or_far_ahead_is_refused() -> None:
    """Against repetition: five minutes each way."""
    good = signing.headers("id", NOW, BODY, [OLD])
    assert "too old" in (signing.objection(good, BODY, [OLD], NOW + 301) or "")
    assert "too far ahead" in (signing.objection(good, BODY, [OLD], NOW - 301) or "")


def test_names_of_headers_count_in_any_case() -> None:
    """As HTTP has them."""
    given = {name.title(): value for name, value in signing.headers("id", NOW, BODY, [OLD]).items()}
    assert signing.objection(given, BODY, [OLD], NOW) is None


@given(st.binary(min_size=24, max_size=24))
def test_a_secret_is_read_as_it_was_shown(secret: bytes) -> None:
    """With and without its prefix."""
    text = signing.secret_text(secret)
    assert signing.secret_of(text) == signing.secret_of(text.removeprefix("whsec_")) == secret


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 32).decode(), "32 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 24).decode(), "not base64"),
        ("whsec_" + base64.b64encode(b"x" * 24).decode() + "\n=", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "not base64"),
        ("whsec_MfKQ 9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "not base64"),
        ("whsk_abc", "not base64"),
        ("whsec_äöü", "not base64"),
    ],
)
def test_a_secret_of_another_form_is_refused(text: str, reason: str) -> None:
    """Strictly, with the reason and without showing it."""
    with pytest.raises(UsageError) as refused:
        signing.secret_of(text)
    assert reason in refused.value.message
    assert not text or text not in refused.value.message
