"""What a row of a file submits: what `send` of one would, and the same again however the file comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import content, when
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.rowfile.drafting import Drafter, RowDefaults, columns
from notifyctl.core.rowfile.rows import BadRow, FileRow, RowDraft
from notifyctl.core.submission import Draft

HEADER = ["user", "channel", "body"]


def _drafter(
    header: Sequence[str] | None, *maps: str, batch: str | None = "spring", defaults: RowDefaults | None = None
) -> Drafter:
    seen: Counter[bytes] = Counter()

    def ordinal(digest: bytes) -> int:
        seen[digest] += 1
        return seen[digest]

    numbers = count(1)
    return Drafter(header, columns(maps), defaults or RowDefaults(), batch, ordinal, lambda: f"random-{next(numbers)}")


def _one(header: Sequence[str] | None, cells: Sequence[str] | Mapping[str, Any], *maps: str, **more: Any) -> Any:
    return _drafter(header, *maps, **more)(FileRow(2, cells))


def _draft(header: Sequence[str] | None, cells: Sequence[str] | Mapping[str, Any], *maps: str, **more: Any) -> Draft:
    row = _one(header, cells, *maps, **more)
    assert isinstance(row, RowDraft), row
    assert row.identity == row.draft.key
    return row.draft


ALL = {
    "user": "anna",
    "channel": "email",
    "subject": "Hello",
    "body": "It works",
    "html": "<p>It works",
    "data": '{"reply_to": "x@example.org"}',
    "to": "Anna <anna@EXAMPLE.org>",
    "provider": "sendgrid",
    "at": "2030-10-25T09:00:00+01:00",
    "expires_in": "2h",
    "category": "news",
    "key": "k-1",
    "max_retries": "3",
    "critical": "yes",
}


def test_every_option_of_send_is_a_column() -> None:
    """And comes to what `send` makes of it."""
    found = _draft(list(ALL), list(ALL.values()))
    payload = content.build(
        Channel.EMAIL,
        subject="Hello",
        body="It works",
        html="<p>It works",
        to="Anna <anna@EXAMPLE.org>",
        data={"reply_to": "x@example.org"},
    )
    at = when.moment(ALL["at"], "--at")
    others = ("k-1", "sendgrid", at, None, 7_200_000, 3, None, "news", True)
    assert found == Draft("anna", Channel.EMAIL, payload, *others, content.canonical(payload))
    typed = {**ALL, "data": {"reply_to": "x@example.org"}, "max_retries": 3, "critical": True}
    assert _draft(None, typed) == found


def test_a_cell_is_text_until_its_field_says_otherwise() -> None:
    """Nothing is guessed from what a cell looks like: not a number, not a time of day, not a truth value."""
    texts = ["+447700900123", "0700", "22:30:00", "no", "1e5", "null", "2030-01-01", " x "]
    header = ["user", "channel", "template", *(f"var.v{number}" for number in range(len(texts)))]
    found = _draft(header, ["0700", "sms", "welcome", *texts])
    assert found.user == "0700"
    assert found.payload["variables"] == {f"v{number}": text for number, text in enumerate(texts)}


def test_defaults_are_for_what_a_row_does_not_say() -> None:
    """A row's own word wins, a time of either kind over both kinds; an empty cell and null say nothing."""
    defaults = RowDefaults(channel=Channel.SMS, body="default", delay_ms=5, max_retries=1, category="c")
    found = _draft(["user", "body", "at"], ["anna", "own", "2030-10-25T09:00:00Z"], defaults=defaults)
    assert (found.channel, found.payload["body"], found.delay_ms, found.max_retries) == (Channel.SMS, "own", None, 1)
    for draft in (
        _draft(["user", "body", "at"], ["anna", "", ""], defaults=defaults),
        _draft(None, {"user": "anna", "body": None}, defaults=defaults),
    ):
        assert (draft.payload["body"], draft.delay_ms, draft.category) == ("default", 5, "c")
    with_template = RowDefaults(channel=Channel.SMS, template="t", variables={"a": 1, "b": 2}, data={"media": []})
    found = _draft(["user", "var.a"], ["anna", "x"], defaults=with_template)
    assert found.payload["variables"] == {"a": "x", "b": 2}


def test_map_names_what_a_column_is() -> None:
    """Also a variable whose cell is JSON; a column that is left out says nothing."""
    header = ["Name", "Phone", "Items", "Note", "channel", "template"]
    maps = ["Name=user", "Phone=to", "Items=var.items:", "Note="]
    found = _draft(header, ["anna", "+1 415 555 2345", "[1, 2]", "whatever", "sms", "order"], *maps)
    assert (found.user, found.payload["to"]) == ("anna", "+14155552345")
    assert found.payload["variables"] == {"items": [1, 2]}


@pytest.mark.parametrize(
    ("header", "maps", "said", "hint"),
    [
        (["usr", "channel"], [], "column 'usr': is unknown: probably user", "--map usr= leaves it out"),
        (["user", "chanel"], [], "probably channel", "there are: user"),
        (["user;channel;body"], [], "column 'user;channel;body': is unknown", "--delimiter ';'"),
        (["user\tchannel"], [], "is unknown", "--delimiter tab"),
        (["user", "Name"], ["Name=user"], "'user' and 'Name' are both user", ""),
        (["expires_in", "expires-in"], [], "are both expires_in", ""),
        (["channel", "body"], [], "no column is user", "--map COLUMN=user"),
        (["user", "body"], [], "no column is channel", "--channel C"),
        (["user"], ["Name=user"], "--map: there is no column 'Name'", "there are: user"),
        (["user", "X"], ["X=temlate"], "is unknown: probably template", ""),
        (["user", "X"], ["X"], "is no COLUMN=TARGET", ""),
        (["user", "X"], ["X=user", "X=to"], "mapped twice", ""),
        (["user", "var."], [], "column 'var.': is unknown", ""),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(header: list[str], maps: list[str], said: str, hint: str) -> None:
    """Before any row; an unknown column with the probable one."""
    with pytest.raises(UsageError) as raised:
        _drafter(header, *maps)
    assert said in raised.value.message
    assert hint in (raised.value.hint or "")


REFUSED: list[tuple[Mapping[str, Any], str]] = [
    ({"channel": "sms", "body": "x"}, "user: is missing"),
    ({"user": "anna", "body": "x"}, "channel: is missing"),
    ({"user": "anna", "channel": "fax"}, "channel: 'fax' is none of"),
    ({"user": "anna", "channel": "sms", "subject": "x"}, "subject: sms has no subject"),
    ({"user": "anna", "channel": "sms", "html": "x"}, "html: sms has no HTML"),
    ({"user": "anna", "channel": "sms", "to": "5"}, "'5' is no telephone number"),
    ({"user": "anna", "channel": "sms", "at": "tomorrow"}, "at: 'tomorrow' is no moment"),
    ({"user": "anna", "channel": "sms", "at": "2030-10-25 09:00"}, "has no offset"),
    ({"user": "anna", "channel": "sms", "in": "soon"}, "in: 'soon' is no duration"),
    ({"user": "anna", "channel": "sms", "in": "2h", "at": "2030-10-25T09:00:00Z"}, "at and in exclude each other"),
    ({"user": "anna", "channel": "sms", "expires_in": "0s"}, "expires_in: '0s' is no time at all"),
    ({"user": "anna", "channel": "sms", "template": "t", "body": "x"}, "body: the template says that"),
    ({"user": "anna", "channel": "sms", "var.x": "y"}, "var goes with --template"),
    ({"user": "anna", "channel": "sms", "key": " "}, "key: the key is empty"),
    ({"user": "anna", "channel": "sms", "body": "x\0y"}, "body: holds NUL"),
]
WRITTEN = [
    ({"user": "anna", "channel": "sms", "max_retries": "1001"}, "max_retries: 1001 is no number from 0 to 1,000"),
    ({"user": "anna", "channel": "sms", "max_retries": "٣"}, "max_retries:"),
    ({"user": "anna", "channel": "sms", "critical": "1"}, "critical: '1' is none of true, yes, false, no"),
    ({"user": "anna", "channel": "sms", "data": "[]"}, "data must be a JSON object"),
    ({"user": "anna", "channel": "sms", "data": '{"x": 1}'}, "data: sms has no x"),
    ({"user": "anna", "channel": "sms", "template": "t", "var.x:": "{"}, "var.x: it is not JSON"),
]
TYPED = [
    ({"user": 7, "channel": "sms"}, "user: is an integer, not text"),
    ({"user": "anna", "channel": "sms", "body": False}, "body: is a boolean, not text"),
    ({"user": "anna", "channel": "sms", "in": 90}, "in: is an integer, not text"),
    ({"user": "anna", "channel": "sms", "max_retries": "3"}, "max_retries: is text, not an integer"),
    ({"user": "anna", "channel": "sms", "max_retries": True}, "max_retries: is a boolean, not an integer"),
    ({"user": "anna", "channel": "sms", "critical": "yes"}, "critical: is text, not a boolean"),
    ({"user": "anna", "channel": "sms", "data": "{}"}, "data: is text, not an object"),
    ({"user": "anna", "channel": "sms", "key": 7}, "key: is an integer, not text"),
    ({"user": "anna", "channel": "sms", "body": "\ud800"}, "body: holds bytes that are no text"),
    ({"user": "anna", "chanel": "sms"}, "column 'chanel': is unknown: probably channel"),
    ({"user": "anna", "channel": "sms", "expires-in": "1h", "expires_in": "1h"}, "expires_in is given twice"),
]


@pytest.mark.parametrize(
    ("said", "reason", "typed"),
    [
        *((said, reason, typed) for said, reason in REFUSED for typed in (False, True)),
        *((said, reason, False) for said, reason in WRITTEN),
        *((said, reason, True) for said, reason in TYPED),
    ],
)
def test_a_row_that_cannot_be_meant_says_which_column(said: Mapping[str, Any], reason: str, typed: bool) -> None:
    """Of CSV and of NDJSON by one schema; the row keeps its identity, so that it can be corrected."""
    cells = {"user": "", "channel": "", **said}
    row = _one(None, said) if typed else _one(list(cells), list(cells.values()))
    assert isinstance(row, BadRow)
    assert reason in row.reason
    assert row.identity


# What makes two rows the same

ROW = st.fixed_dictionaries(
    {"user": st.sampled_from(["anna", "bob"]), "channel": st.just("sms"), "body": st.sampled_from(["x", "y"])},
    optional={"critical": st.just("yes")},
)


@given(st.lists(ROW, max_size=8), st.permutations(["user", "channel", "body", "critical"]), st.data())
def test_identity_is_what_a_row_says_and_which_of_those_it_is(
    rows: list[dict[str, str]], order: list[str], data: st.DataObject
) -> None:
    """The same in any order of rows and columns, by any names of columns: two that are alike are two, always."""

    def identities(of: Sequence[dict[str, str]], names: Sequence[str], *maps: str) -> list[str]:
        drafter = _drafter([name.upper() if maps else name for name in names], *maps)
        return [drafter(FileRow(line, [row.get(each, "") for each in names])).identity for line, row in enumerate(of)]

    usual = identities(rows, ["user", "channel", "body", "critical"])
    assert len(set(usual)) == len(rows)
    shuffled = data.draw(st.permutations(rows))
    assert sorted(identities(shuffled, order)) == sorted(usual)
    assert identities(rows, order, *(f"{name.upper()}={name}" for name in order)) == usual


def test_identity_is_the_batchs_the_rows_own_or_random() -> None:
    """A key of its own is a row's identity anywhere; without a batch every row is new."""
    cells = ["anna", "sms", "x"]
    first, second = _drafter(HEADER), _drafter(HEADER, batch="autumn")
    assert first(FileRow(2, cells)).identity.startswith("spring/")
    assert second(FileRow(2, cells)).identity.startswith("autumn/")
    assert _one(HEADER, cells, batch=None).identity == "random-1"
    for batch in ("spring", None):
        assert _one([*HEADER, "key"], [*cells, "k"], batch=batch).identity == "k"


def test_a_corrected_row_is_the_row_that_was_rejected() -> None:
    """Its identity stands in `_row` and wins over what it says now; the line and the reason are passed over."""
    bad = _one(HEADER, ["anna", "fax", "x"])
    header = ["_row", "_line", "_reason", *HEADER]
    for batch in ("spring", None):
        mended = _one(header, [bad.identity, "2", bad.reason, "anna", "sms", "x"], batch=batch)
        assert isinstance(mended, RowDraft)
        assert mended.draft.key == bad.identity
    typed = _one(None, {"_row": bad.identity, "_line": 2, "_reason": "why", "user": "anna", "channel": "sms"})
    assert typed.draft.key == bad.identity
    ragged = _drafter(header)(BadRow(2, "it has 4 cells", [bad.identity, "2", bad.reason, "anna"]))
    assert ragged.identity == bad.identity


def test_what_was_no_object_is_refused_until_it_is_corrected() -> None:
    """A line that could not be read stands as text in the file of rejected rows: sent as it is, it stays rejected."""
    bad = _drafter(None)(BadRow(3, "it is not JSON", "{nope"))
    again = _one(
        None, {"_row": bad.identity, "_line": 3, "_reason": "x", "_text": "{nope", "user": "a", "channel": "sms"}
    )
    assert isinstance(again, BadRow)
    assert again.identity == bad.identity


@given(st.lists(st.integers(0, 40), max_size=300), st.integers(2, 9), st.integers(0, 40), st.integers(0, 9))
def test_ordinals_are_exact_however_little_is_kept(values: list[int], pending: int, searches: int, alike: int) -> None:
    """Counted in a file behind a filter, or by an index, they are what they would be when counted in memory."""
    import notifyctl.services.rowfiles.ordinals as module

    seen: Counter[int] = Counter()
    limits = {"_PENDING": pending, "_SEARCHES": searches, "_ALIKE": alike, "_STEP": 2 * module.BYTES}
    ordinals = module.Ordinals()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(module, name, value)
        for each in values:
            seen[each] += 1
            # The first eight bytes alike for several: the filter alone would take one for the other.
            assert ordinals.next((each % 5).to_bytes(8, "little") + each.to_bytes(8, "little")) == seen[each]
    ordinals.close()


def test_a_digest_is_found_as_a_whole() -> None:
    """Not where the end of one and the beginning of the next look like it."""
    import notifyctl.services.rowfiles.ordinals as module

    ordinals = module.Ordinals()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PENDING", 2)
        half = b"\0\0\0\1\0\0\0\0"  # the filter takes it for another one without bits
        one, other, across = bytes(8) + half, bytes(16), half + bytes(8)
        assert [ordinals.next(each) for each in (one, other)] == [1, 1]
        assert ordinals.next(across) == 1
        assert [ordinals.next(each) for each in (across, one, other, across)] == [2, 2, 2, 3]
    ordinals.close()
