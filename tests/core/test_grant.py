"""What keys are good for, and what they give on: whatever a key makes may no more than itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import grant as grants
from notifyctl.core import scope as scopes
from notifyctl.core.errors import NotAllowed
from notifyctl.core.grant import NOBODY, UNRESTRICTED, Grant, KeyTerms, Restrictions, refusal, require_within
from notifyctl.core.scope import Scope

SCOPES = st.none() | st.lists(st.sampled_from([*Scope, "of:tomorrow"]), max_size=4, unique=True).map(tuple)
PEOPLE = st.frozensets(st.sampled_from(["anna", "bert", "carl"]))
RESTRICTIONS = st.builds(Restrictions, st.none() | PEOPLE, st.booleans())
TERMS = st.builds(KeyTerms, SCOPES, RESTRICTIONS, st.none() | st.integers(0, 5))


def acting(terms: KeyTerms) -> Grant:
    """Return the grant of a key that is good for that."""
    return Grant(terms.scopes, terms.restrictions, terms.expires_at, key_id="k", name="ci")


def may_make(maker: KeyTerms, terms: KeyTerms) -> bool:
    """Return whether a key of the one kind makes a key of the other."""
    try:
        require_within(acting(maker), terms)
    except NotAllowed:
        return False
    return True


@given(TERMS, TERMS)
def test_nothing_is_gained_by_making_a_key(maker: KeyTerms, made: KeyTerms) -> None:
    """Each command, recipient and moment that the new key is good for, its maker is good for as well."""
    if not may_make(maker, made):
        return
    for scope in Scope:
        assert scopes.covers(maker.scopes, scope) or not scopes.covers(made.scopes, scope)
    for user in ("anna", "bert", "carl", "dora"):
        assert refusal(acting(maker), user, {}) is None or refusal(acting(made), user, {}) is not None
    assert made.restrictions.dry_run or not maker.restrictions.dry_run
    assert maker.expires_at is None or (made.expires_at is not None and made.expires_at <= maker.expires_at)


@given(TERMS)
def test_the_same_may_be_made(terms: KeyTerms) -> None:
    """What a key has itself it gives on, whatever that is; an operator gives anything."""
    assert may_make(terms, terms)
    require_within(None, terms)


@given(TERMS, TERMS, TERMS)
def test_it_holds_over_generations(one: KeyTerms, two: KeyTerms, three: KeyTerms) -> None:
    """Who cannot make a key cannot have it made by one that it makes."""
    if may_make(one, two) and may_make(two, three):
        assert may_make(one, three)


@given(RESTRICTIONS)
def test_restrictions_are_stored_as_they_are(restrictions: Restrictions) -> None:
    """What is written is read again, and no restriction is NULL."""
    assert grants.stored(restrictions.written) == restrictions
    assert (restrictions.written is None) is (restrictions == UNRESTRICTED)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_what_cannot_be_understood_lets_nothing_pass(text: str) -> None:
    """Neither as scopes nor as restrictions; never an exception."""
    found = grants.stored(text)
    assert found == NOBODY or text.strip() == "{}"
    known = scopes.stored(text)
    assert known is not None
    assert not any(scopes.covers(known, each) for each in Scope if f'"{each}"' not in text)


@pytest.mark.parametrize(
    "payload",
    [
        {"to": "x@example.org"}, {"cc": ["x@example.org"]}, {"bcc": "x@example.org"}, {"token": "t"}, {"fid": "f"},
        {"topic": "all"}, {"condition": "c"}, {"headers": {"CC": "x@example.org"}},
        {"headers": {"X-SMTPAPI": '{"to": ["x@example.org"]}'}}, {"headers": {"x-mc-BccAddress": "x@example.org"}},
        {"headers": {"X-MSYS-API": '{"bcc": []}'}}, {"headers": {"Resent-To": "x@example.org"}},
        {"headers": {"X-Mailgun-Recipient-Variables": "{}"}}, {"headers": {" Bcc ": "x@example.org"}},
        {"mail_settings": {"bcc": {"email": "x@example.org"}}}, None, [], "text",
    ],
)  # fmt: skip
def test_a_listed_user_s_name_opens_no_other_address(payload: object) -> None:
    """Every field of a payload by which a provider could be made to write to others."""
    key = acting(KeyTerms(None, Restrictions(frozenset({"anna"})), None))
    assert refusal(key, "anna", payload) is not None
    assert refusal(key, "anna", {"subject": "s", "to": None, "cc": [], "headers": {"X-A": "b"}}) is None
    assert refusal(acting(KeyTerms(None, UNRESTRICTED, None)), "anna", payload) is None
