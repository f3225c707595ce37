"""Whatever is done to a sealed trail by somebody without the key is found, and nothing is found where nothing was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notifyctl.core.audit.chain import Chain, Purged, Stored, TrailFault, TrailFinding
from notifyctl.core.audit.sealing import FIELDS, Anchor, KnownKeys, MacKey, Seal, derived, row_mac, seal

KEY = derived("k1", bytes(range(64)))
KEYS = KnownKeys({"k1": [KEY]}, set())
LENGTH = 6
Link = tuple[Seal, Stored | None]


def _row(number: int, key: MacKey | None) -> dict[str, Any]:
    row: dict[str, Any] = {name: f"{name} {number}" for name in FIELDS} | {"created_at": number, "actor_id": None}
    row |= {"user_id": None, "mac": None}
    return {**row, "mac": None if key is None else row_mac(key, row)}


def _links(key: MacKey | None) -> list[Link]:
    """Return a chain over rows that were written and sealed with a key, or without any."""
    found, before = list[Link](), ""
    for number in range(1, LENGTH + 1):
        row = _row(number, key)
        made = seal(key, number, before, row, 1_000 + number)
        found.append((made, Stored(row, False)))
        before = made.value
    return found


def _found(links: Sequence[Link], anchors: Sequence[Anchor] = (), purges: Sequence[Purged] = ()) -> list[TrailFinding]:
    chain, told = Chain(KEYS, purges, anchors), list[TrailFinding]()
    for link, stored in sorted(links, key=lambda each: each[0].position):
        told += chain.link(link, stored)
    told += chain.end()
    assert chain.verdict.faults == len(told)
    return told


KEYED = pytest.mark.parametrize("key", [KEY, None], ids=["keyed", "keyless"])
PLACES = st.integers(0, LENGTH - 1)


@KEYED
def test_nothing_is_found_where_nothing_was_done(key: MacKey | None) -> None:
    """Neither in all of it, nor from where a purge left it, nor against its own anchors."""
    links = _links(key)
    anchors = [Anchor(each.position, each.value, 1) for each, _ in links]
    assert _found(links, anchors) == []
    for number in range(1, LENGTH):
        last = links[number - 1][0]
        assert _found(links[number:], anchors, [Purged(last.position, last.value)]) == []


@given(PLACES, st.sampled_from((*FIELDS, "mac")), st.none() | st.text(max_size=4))
def test_an_edit_is_found_in_its_row(place: int, name: str, value: str | None) -> None:
    """Any field, any value, with a key and without."""
    for key in (KEY, None):
        links = _links(key)
        link, stored = links[place]
        assert stored is not None
        assume(stored.row[name] != value)
        assume(name not in ("id", "resource_id", "key_id", "actor_id") or value is None or value == value.rstrip(" "))
        links[place] = (link, Stored({**stored.row, name: value}, False))
        assert {each.position for each in _found(links)} == {place + 1}


@given(st.lists(PLACES, min_size=1, max_size=LENGTH - 1, unique=True), st.booleans())
def test_what_is_removed_is_found(places: list[int], with_seals: bool) -> None:
    """Rows alone by their ids; with their seals by their positions, unless they are the whole end of the chain."""
    for key in (KEY, None):
        links = _links(key)
        if not with_seals:
            gone = [(link, None if place in places else stored) for place, (link, stored) in enumerate(links)]
            assert {each.audit_id for each in _found(gone)} == {links[place][0].audit_id for place in places}
            continue
        left = [each for place, each in enumerate(links) if place not in places]
        anchors = [Anchor(LENGTH, links[-1][0].value, 1)]
        assert _found(left, anchors) != []
        if left[-1] is links[-1]:
            assert {each.fault for each in _found(left)} == {TrailFault.REMOVED}


@given(st.permutations(range(LENGTH)), st.sampled_from(("rows", "seals")))
def test_another_order_is_found(order: list[int], what: str) -> None:
    """Whatever changed places: what the rows say, or the seals."""
    assume(order != list(range(LENGTH)))
    for key in (KEY, None):
        links = _links(key)
        if what == "rows":
            mixed = [(link, links[other][1]) for (link, _), other in zip(links, order, strict=True)]
        else:
            mixed = [
                (links[other][0]._replace(position=link.position, audit_id=link.audit_id), stored)
                for (link, stored), other in zip(links, order, strict=True)
            ]
        assert {each.position for each in _found(mixed)} >= {1 + at for at, other in enumerate(order) if at != other}


@given(PLACES)
def test_a_tail_that_is_gone_is_found_by_the_anchor(place: int) -> None:
    """As one fault, whatever its length; an anchor of what is still there finds nothing."""
    links = _links(KEY)
    anchors = [Anchor(each.position, each.value, 1) for each, _ in links]
    found = _found(links[:place], anchors)
    assert [(each.fault, each.position) for each in found] == [(TrailFault.CUT, LENGTH)]
    assert _found(links[:place], anchors[:place]) == []


def test_a_chain_made_anew_is_found_by_each_anchor() -> None:
    """Without a key anybody can make one that fits; not one that fits an anchor."""
    links = _links(None)
    anchors = [Anchor(each.position, each.value, 1) for each, _ in links[2:]]
    before, anew = "", list[Link]()
    for number in range(1, LENGTH + 1):
        row = {**_row(number, None), "actor": "somebody else"}
        made = seal(None, number, before, row, 1_000 + number)
        anew.append((made, Stored(row, False)))
        before = made.value
    assert _found(anew) == []
    found = _found(anew, anchors)
    assert [(each.fault, each.position) for each in found] == [(TrailFault.REPLACED, at) for at in range(3, LENGTH + 1)]


def test_a_purge_that_is_on_record_falsely_is_found() -> None:
    """The record has to be of the very seal that was there."""
    links = _links(KEY)
    assert [each.fault for each in _found(links[2:])] == [TrailFault.REMOVED]
    assert _found(links[2:], purges=[Purged(2, "0" * 64)]) != []
    assert _found(links[2:], purges=[Purged(1, links[0][0].value)]) != []
