"""The gate: one verdict, by the first check that objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.gate import Facts, Refuse, Suppress, gate
from notifyctl.core.model import Category

facts = st.builds(
    Facts,
    now=st.integers(0, 100),
    expires_at=st.none() | st.integers(0, 100),
    needs_address=st.booleans(),
    address=st.sampled_from([None, "", "a@example.org"]),
    suppression=st.sampled_from([None, "bounced"]),
)


@given(facts)
def test_the_order_of_the_checks(given_facts: Facts) -> None:
    """Expiry goes before the address, the address before its suppression; without an objection it is sent."""
    verdict = gate(given_facts)
    if given_facts.expires_at is not None and given_facts.now >= given_facts.expires_at:
        assert verdict == Suppress("expired before it was sent")
    elif given_facts.needs_address and not given_facts.address:
        assert verdict == Refuse(Category.NO_ADDRESS, "the user has no address on this channel")
    elif given_facts.suppression:
        assert verdict == Suppress("the address is suppressed: bounced")
    else:
        assert verdict is None
