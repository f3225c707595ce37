"""Addresses: one stored form, reached from everything that means the same."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from notifyctl.core import address
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel

# Email-like, phone-like and any text, so that the checks see more than refusals at the first character.
ANYTHING = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,20}@[a-zA-Z0-9.-]{1,20}", fullmatch=True),
    st.from_regex(r"\+[0-9 ()./-]{1,20}", fullmatch=True),
)


@given(st.sampled_from(Channel), ANYTHING)
def test_the_stored_form_is_the_end_of_it(channel: Channel, text: str) -> None:
    """Any text is either refused as usage, or has a stored form that is its own stored form and fits its column."""
    try:
        stored = address.normalised(channel, text)
    except UsageError:
        return
    assert address.normalised(channel, stored) == stored
    assert 0 < len(stored) <= 1_024
    assert stored.isprintable()


LOCAL = st.from_regex(r"[a-z0-9._+-]{1,8}|[A-Za-z!#\"]{1,4}|[a-z]{60,70}|INFO|postmaster", fullmatch=True)
DOMAIN = st.sampled_from(
    [
        "example.org",
        "EXAMPLE.org",
        "a.test",
        "x.local",
        "x.invalid",
        "localhost",
        "xn--exmple-cua.com",
        "-a.org",
        "a..b",
    ]
) | st.from_regex(r"[a-z0-9.-]{1,12}|([a-z]{40}\.){3,6}org", fullmatch=True)


@given(LOCAL, DOMAIN)
def test_the_short_way_is_the_validators(local: str, domain: str) -> None:
    """An address is what the validator of addresses says, whether it is asked for it or for its domain alone."""
    text = f"{local}@{domain}"
    try:
        wanted = validate_email(text, check_deliverability=False, test_environment=True, strict=True).normalized
    except EmailNotValidError:
        with pytest.raises(UsageError):
            address.email(text)
    else:
        assert address.email(text) == wanted


@pytest.mark.parametrize(
    ("given_as", "stored"),
    [
        ("anna@example.org", "anna@example.org"),
        ("  Anna.B@EXAMPLE.Org ", "Anna.B@example.org"),
        ("a+tag@mail.test", "a+tag@mail.test"),
        ("ä@exämple.com", "ä@exämple.com"),
        ("info@xn--exmple-cua.com", "info@exämple.com"),
    ],
)
def test_email(given_as: str, stored: str) -> None:
    """The domain is lower case and Unicode, the local part as given; domains for examples and tests pass."""
    assert address.email(given_as) == stored


@pytest.mark.parametrize(
    "text", ["", "anna", "anna@", "@example.org", "a@b", "a@x.local", "Anna <a@b.org>", "a b@c.org", "a\n@b.org"]
)
def test_no_email(text: str) -> None:
    """What no provider could deliver to is refused with the address in the message."""
    with pytest.raises(UsageError, match="is no e-mail address"):
        address.email(text)


@pytest.mark.parametrize(
    ("given_as", "stored"),
    [
        ("+15005550006", "+15005550006"),
        ("+14155552345", "+14155552345"),
        ("+1 (415) 555-2345", "+14155552345"),
        (" +49 1511 234567 ", "+491511234567"),
        ("+44 20 7946 0018", "+442079460018"),
    ],
)
def test_phone(given_as: str, stored: str) -> None:
    """Numbers are kept in E.164; test and fictional numbers, which no plan lists as valid, pass."""
    assert address.phone(given_as) == stored


@pytest.mark.parametrize(
    "text",
    ["", "4155552345", "0049151234", "+", "+999123456789", "+1", "+1500555000612345", "+1-800-FLOWERS", "+1 ext 5"],
)
def test_no_phone(text: str) -> None:
    """Without a country code, too short, too long, with letters: not a number that can be dialled."""
    with pytest.raises(UsageError, match=r"telephone number|too short or too long"):
        address.phone(text)


@pytest.mark.parametrize(
    "text", ["+1 555 2345", "+15551234", "+1 234-5678", "+7 1234567", "+44 7946 0018", "+4930", "+49 110"]
)
def test_a_number_that_works_only_in_its_area(text: str) -> None:
    """A number without its area's code (ITU-T E.164, 6.2) reaches nobody from elsewhere, or somebody else."""
    with pytest.raises(UsageError, match=r"within its area only|too short"):
        address.phone(text)


@pytest.mark.parametrize("text", ["", "  ", "tok en", "tok\x00en", "x" * 1_025, "a\u2028b"])
def test_no_push_token(text: str) -> None:
    """A token is one printable word that fits its column."""
    with pytest.raises(UsageError, match="push token"):
        address.push_token(text)


def test_the_longest_push_token() -> None:
    """1024 characters are stored as they came."""
    assert address.push_token("x:-_" * 256) == "x:-_" * 256


# Comparing


@example(Channel.EMAIL, "0 .")
@example(Channel.EMAIL, "a@b. . .")
@example(Channel.EMAIL, "\u00a8x")
@given(st.sampled_from(Channel), ANYTHING)
def test_folding_is_for_any_text_and_is_the_end_of_it(channel: Channel, text: str) -> None:
    """Whatever somebody else stored or a provider says can be compared, and what is folded is folded."""
    folded = address.fold(channel, text)
    assert address.fold(channel, folded) == folded


@pytest.mark.parametrize("stored", ["anna@example.org", "a+tag@mail.test", "ä@exämple.com", "O'Neil.x@müller.example"])
def test_the_stored_form_is_the_same_person(stored: str) -> None:
    """Storing an address changes nothing of whose it is."""
    assert address.fold(Channel.EMAIL, address.normalised(Channel.EMAIL, stored)) == address.fold(Channel.EMAIL, stored)


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        ("email", "Anna@Example.ORG", "anna@example.org"),
        ("email", " anna@example.org. ", "ANNA@EXAMPLE.ORG"),
        ("email", "anna@müller.example", "anna@XN--MLLER-KVA.example"),
        ("email", "anna@mu\u0308ller.example", "anna@M\u00dcLLER.example"),
        ("email", "mu\u0308ller@example.org", "M\u00dcLLER@example.org"),
        ("email", "anna@日本語。example", "anna@xn--wgv71a119e.example"),
        ("email", '"anna"@example.org', "anna@example.org"),
        ("email", '"an\\na.b"@Example.org', "anna.b@example.org"),
        ("email", "Anna <anna@example.org>", "anna@example.org"),
        ("email", "anna@example.org (at home)", "<anna@example.org>"),
        ("email", "anna@i\u2764.example", "anna@xn--i-7iq.example"),
        ("email", "anna@my_mail.m\u00fcller.example", "anna@my_mail.xn--mller-kva.example"),
        ("sms", "+44 (0)20 7946 0958", "+442079460958"),
        ("sms", "+1 (415) 555-2345", "+14155552345"),
        ("sms", "whatsapp:+14155552345", "+14155552345"),
        ("push", " tOkEn ", "tOkEn"),
    ],
)
def test_two_ways_to_write_the_same_address(channel: Channel, one: str, other: str) -> None:
    """Case, composition, and a domain in Unicode or in A-labels make no other address (RFC 5890, 2.3.2.1).

    Nor do a name, a comment or quotes that are not needed (RFC 5322, 3.2.4 and 3.4).
    """
    assert address.fold(Channel(channel), one) == address.fold(Channel(channel), other)


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        ("email", "anna+news@example.org", "anna@example.org"),
        ("email", "an.na@example.org", "anna@example.org"),
        ("email", "straße@example.org", "strasse@example.org"),
        ("email", "anna@example.org", "anna@mail.example.org"),
        ("sms", "+14155552345", "+14155552346"),
        ("push", "tOkEn", "token"),
    ],
)
def test_two_addresses(channel: Channel, one: str, other: str) -> None:
    """What only some servers take for the same (a +tag, a dot) stays apart, and a token's letters count."""
    assert address.fold(Channel(channel), one) != address.fold(Channel(channel), other)


@given(
    st.from_regex(r"[a-z0-9_+-]{1,20}(\.[a-z0-9_+-]{1,9}){0,2}", fullmatch=True),
    st.from_regex(r"([a-z0-9]{1,9}(-[a-z0-9]{1,5})?\.){1,3}(com|org|net|info|[a-z]{2})", fullmatch=True),
)
def test_what_is_surely_an_address_is_what_the_library_returns(local: str, domain: str) -> None:
    """The way around the library, which is slow to load, is no other rule."""
    assert address._SURELY_DOMAIN.fullmatch(domain)
    text = f"{local}@{domain}"
    found = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    assert address.email(text) == found.normalized == text
