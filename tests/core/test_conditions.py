"""When conditions begin and end: each change is told once, however often, and by whomever, is looked."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.burst import Frequency
from notifyctl.core.conditions import (
    STALLED_MS,
    Condition,
    ConditionNews,
    KeptCondition,
    SeenCondition,
    Turn,
    judge,
    of_dead_letters,
    of_receivers,
    of_suppressions,
)
from notifyctl.core.webhook.webhook import Webhook

MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
OPEN, STALLED, FAILING = Condition.PROVIDER_OPEN, Condition.BACKLOG_STALLED, Condition.RECEIVER_FAILING


class Watcher:
    """What dispatchers know together."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], KeptCondition] = {}
        self.told: list[tuple[int, ConditionNews]] = []

    def look(self, now: int, *seen: SeenCondition) -> list[tuple[str, str]]:
        """Look once, and return what is told: the condition, and what it did."""
        judged = judge(self.kept.values(), seen, now)
        for key in judged.gone:
            del self.kept[key]
        self.kept |= {each.key: each for each in judged.kept}
        self.told += [(now, each) for each in judged.news]
        return [(each.of.condition, each.turn.value) for each in judged.news]


def seen(condition: Condition = OPEN, subject: str = "a", level: int = 0, mark: str = "") -> SeenCondition:
    """Something that is so."""
    return SeenCondition(condition, subject, f"{condition} {level}", level, mark)


def test_it_begins_once_and_ends_once() -> None:
    """However often it is looked at; it ends when it is over for a minute, and is told anew the next time."""
    watcher = Watcher()
    assert watcher.look(0, seen()) == [(OPEN, "began")]
    assert [watcher.look(at, seen()) for at in range(1, 100)] == [[]] * 99
    assert watcher.look(100) == []
    assert watcher.look(50_000, seen()) == []  # it flaps
    assert watcher.look(60_000) == []
    assert watcher.look(119_999) == []
    assert watcher.look(120_000) == [(OPEN, "ended")]
    assert [watcher.look(at) for at in range(120_001, 120_100)] == [[]] * 99
    assert watcher.look(130_000, seen()) == [(OPEN, "began")]


def test_what_ends_with_a_look_ends_at_once() -> None:
    """A pause that an operator took back is over."""
    watcher = Watcher()
    watcher.look(0, seen(Condition.PROVIDER_PAUSED))
    assert watcher.look(1) == [(Condition.PROVIDER_PAUSED, "ended")]


def test_a_backlog_stands_still_when_the_same_is_next_for_long() -> None:
    """As long as the next one changes, something is sent; when it changes after all, the standstill is over."""
    watcher = Watcher()
    for at in range(0, 2 * STALLED_MS, 10_000):
        assert watcher.look(at, seen(STALLED, mark=f"{at}")) == []
    began = 2 * STALLED_MS
    watcher.look(began, seen(STALLED, mark="x"))
    assert watcher.look(began + STALLED_MS - 1, seen(STALLED, mark="x")) == []
    assert watcher.look(began + STALLED_MS, seen(STALLED, mark="x")) == [(STALLED, "began")]
    assert watcher.look(began + 3 * STALLED_MS, seen(STALLED, mark="x")) == []
    assert watcher.look(began + 3 * STALLED_MS + 1, seen(STALLED, mark="y")) == [(STALLED, "ended")]
    assert watcher.look(began + 3 * STALLED_MS + 2) == []


def test_what_grows_worse_is_news() -> None:
    """Each level once; less bad is no news."""
    watcher = Watcher()
    levels = [50, 50, 70, 50, 70, 90, 90]
    told = [watcher.look(at, seen(FAILING, level=level)) for at, level in enumerate(levels)]
    assert [len(each) for each in told] == [1, 0, 1, 0, 0, 1, 0]
    assert watcher.look(100) == [(FAILING, "ended")]


def test_ends_are_told_before_beginnings() -> None:
    """Who resolves alerts by them does not resolve the new one."""
    watcher = Watcher()
    watcher.look(0, seen(FAILING))
    disabled = seen(Condition.RECEIVER_DISABLED)
    assert watcher.look(1, disabled) == [(FAILING, "ended"), (Condition.RECEIVER_DISABLED, "began")]


SOME = st.builds(
    seen,
    condition=st.sampled_from(Condition),
    subject=st.sampled_from(["", "a"]),
    level=st.integers(0, 3),
    mark=st.just(""),
) | st.builds(seen, condition=st.just(STALLED), mark=st.sampled_from("xy"))
LOOKS = st.lists(
    st.tuples(st.sampled_from([0, 1, 10_000, MIN, STALLED_MS]), st.lists(SOME, max_size=3, unique_by=lambda s: s.key)),
    max_size=40,
)


@given(LOOKS)
def test_at_most_once_for_each_change(looks: list[tuple[int, list[SeenCondition]]]) -> None:
    """Of each condition beginnings and ends take turns, but that it grows worse; there are no more of them than
    changes that were seen; and what was seen last is what is kept.
    """
    watcher, now, changes = Watcher(), 0, defaultdict[tuple[str, str], int](int)
    before: dict[tuple[str, str], SeenCondition] = {}
    for wait, there in looks:
        now += wait
        watcher.look(now, *there)
        after = {each.key: each for each in there}
        for key in before.keys() | after.keys():
            old, new = before.get(key), after.get(key)
            changes[key] += (old is None) != (new is None)
            if old is not None and new is not None:
                changes[key] += 2 * (old.mark != new.mark) + (new.level > old.level)
        before = after
    of_each = defaultdict[tuple[str, str], list[ConditionNews]](list)
    for _, news in watcher.told:
        of_each[news.of.key].append(news)
    for key, told in of_each.items():
        assert len(told) <= changes[key]
        assert told[0].turn is Turn.BEGAN
        for one, other in pairwise(told):
            worse = one.turn is other.turn is Turn.BEGAN and other.of.level > one.of.level
            assert worse or one.turn is not other.turn
    begun = {key for key, told in of_each.items() if told[-1].turn is Turn.BEGAN}
    assert begun == {key for key, each in watcher.kept.items() if each.has_begun}
    assert before.keys() <= watcher.kept.keys()


@given(LOOKS, st.integers(0, 50))
def test_a_look_that_is_repeated_tells_nothing(looks: list[tuple[int, list[SeenCondition]]], at: int) -> None:
    """At the same moment nothing else comes of the same."""
    watcher, now = Watcher(), 0
    for number, (wait, there) in enumerate(looks):
        now += wait
        watcher.look(now, *there)
        if number == at:
            assert watcher.look(now, *there) == []


def test_dead_letters_grow_by_orders_of_magnitude() -> None:
    """A few are a chance; ten times as many are news again."""
    levels = [[each.level for each in of_dead_letters(count)] for count in (0, 19, 20, 199, 200, 2_000, 20_000)]
    assert levels == [[], [], [1], [1], [2], [3], [4]]


def test_a_burst_of_suppressions() -> None:
    """By the same measure as in `status`."""
    assert of_suppressions(Frequency(19, 0)) == of_suppressions(Frequency(100, 2_400)) == []
    [one] = of_suppressions(Frequency(100, 240))
    assert one.text == "100 addresses suppressed in the last hour, usual is 10"


def _webhook(**values: object) -> Webhook:
    plain = {"id": "w", "user_id": "u", "name": "shop", "url": "https://example.org/secret", "secret_key": "s"}
    return Webhook(**{**plain, "events": ("notification.*",), "created_at": 0, "updated_at": 0, **values})  # type: ignore[arg-type]


def test_receivers_fail_by_parts_of_five_days() -> None:
    """At 50, 70 and 90 percent; the URL is told by its host."""
    levels = []
    for hours in (0, 59, 60, 83, 84, 107, 108, 119):
        failing = _webhook(failing_since=0)
        levels.append([each.level for each in of_receivers([(failing, "anna")], hours * HOUR)])
    assert levels == [[], [], [50], [50], [70], [70], [90], [90]]
    [one] = of_receivers([(_webhook(failing_since=0), "anna")], 4 * DAY)
    assert one.subject == "anna/shop"
    assert one.text == "webhook anna/shop (example.org) fails for 4d: at 70 % of the 5d after which it is disabled"


def test_a_receiver_that_an_operator_disabled_is_no_news() -> None:
    """One that was disabled for its failures is; it fails no more."""
    off = {"is_active": False, "failing_since": 0}
    assert of_receivers([(_webhook(**off), "anna")], 4 * DAY) == []
    [one] = of_receivers([(_webhook(**off, disabled_because="nothing\nwas delivered for 5d"), "anna")], 4 * DAY)
    assert one.condition is Condition.RECEIVER_DISABLED
    assert one.text == "webhook anna/shop (example.org) disabled: nothing was delivered for 5d"
