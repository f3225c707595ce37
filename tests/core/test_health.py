"""What answers make of a provider: pure, so tested over everything there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.health import PROBES, Answer, Cause, Health, opens, probe_wait_ms, throttle_ms
from notifyctl.core.outcome import Blame, Kind, Outcome

VERSION = 7
BUSY = Outcome(Kind.TRANSIENT, "busy", http_status=503)
FINE = Outcome(Kind.ACCEPTED)

moments = st.integers(10**12, 2 * 10**12)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(Kind),
    message=st.just("x"),
    asked=st.booleans(),
    blames=st.sampled_from(Blame),
    retry_after_ms=st.none() | st.integers(-1, 10**9),
)
answers = st.lists(
    st.builds(
        Answer,
        outcome=st.none() | outcomes,
        recipient=st.just("x@example.org"),
        version=st.sampled_from([VERSION, VERSION - 1]),
        probe=st.booleans(),
    ),
    max_size=60,
)
pauses = st.tuples(st.sampled_from(Cause), moments, st.none() | moments)
healths = st.builds(
    lambda pause, began, attempts: (
        Health(window_started_at=began, window_attempts=attempts, window_failures=attempts // 2)
        if pause is None
        else Health().with_pause(pause[0], "before", pause[1], pause[2])
    ),
    st.none() | pauses,
    st.none() | moments,
    st.integers(0, 100),
)


@given(st.sampled_from(sorted(PROBES)), st.integers(-5, 10_000))
def test_probes_wait_longer_and_longer(cause: Cause, probes: int) -> None:
    """Never less than the first wait, never more than the longest, and never shorter than the one before."""
    first, longest = PROBES[cause]
    wait = probe_wait_ms(cause, probes) or 0
    assert first <= wait <= (probe_wait_ms(cause, probes + 1) or 0) <= longest


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_breaker_opens_on_number_and_share(succeeded: int, failed: int) -> None:
    """A few failures do not, however many of the attempts they are; many do not while most attempts succeed."""
    assert opens(succeeded + failed, failed) == (failed >= 20 and failed >= succeeded)


@given(st.none() | st.integers(-(10**12), 10**12))
def test_nobody_is_left_alone_for_ever(wish: int | None) -> None:
    """Whatever a provider wishes, it is asked again after an hour at most, and not before a second is over."""
    assert 1_000 <= throttle_ms(wish) <= 3_600_000


@given(outcomes)
def test_an_answer_is_a_failure_or_works_or_neither(outcome: Outcome) -> None:
    """Never both, and nothing without an answer."""
    answer = Answer(outcome, "x@example.org", 1)
    assert not (answer.says_it_works and answer.is_failure)
    assert outcome.asked or not (answer.says_it_works or answer.is_failure)


@given(st.lists(st.builds(Answer, outcomes, st.just("one@example.org"), st.just(VERSION)), max_size=60), moments)
def test_what_is_refused_to_one_recipient_alone_pauses_nobody(said: list[Answer], now: int) -> None:
    """Whatever one message is told, and however often: only an answer about the account stops the others."""
    concerns_one = [each for each in said if each.outcome and each.outcome.blames is not Blame.ACCOUNT]
    health, news = Health().after(concerns_one, VERSION, now)
    assert (health.hold(now), news) == (None, ())


@given(healths, answers, moments, st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens(health: Health, said: list[Answer], now: int, chance: float) -> None:
    """By a quarter at the most: whoever was told to slow down is not asked sooner for having been unlucky."""
    plain, later = health.after(said, VERSION, now)[0], health.after(said, VERSION, now, chance)[0]
    assert later.pause_cause is plain.pause_cause
    if plain.probe_at is not None and plain.probe_at != health.probe_at:
        assert plain.probe_at <= (later.probe_at or 0) <= plain.probe_at + (plain.probe_at - now) / 4


@given(healths, answers, moments)
def test_news_and_changes_go_together(health: Health, said: list[Answer], now: int) -> None:
    """Whoever is told that something became of a provider finds it so, and nothing is told of what stays as it was."""
    after, news = health.after(said, VERSION, now)
    for each in news:
        assert after != health
        throttled = after.pause_cause is Cause.THROTTLED  # a short one is no news, also right after a resumption
        assert throttled or after.is_paused(now) == (each.action in ("pause", "open")) or len(news) > 1
    if after.pause_cause is not health.pause_cause and after.pause_cause in (Cause.CONFIG, Cause.BREAKER):
        assert news


@given(healths, answers, moments)
def test_an_operators_pause_is_nobody_elses_to_end(health: Health, said: list[Answer], now: int) -> None:
    """Whatever the answers are: neither a probe that works nor a failure moves what a person decided."""
    paused = health.with_pause(Cause.OPERATOR, "maintenance", now)
    after, news = paused.after(said, VERSION, now)
    assert (after.pause_cause, after.pause_reason, after.paused_at) == (Cause.OPERATOR, "maintenance", now)
    assert news == ()


@given(healths, st.lists(st.sampled_from([Kind.CONFIG]), min_size=1), moments)
def test_what_older_credentials_caused_pauses_nobody(health: Health, kinds: list[Kind], now: int) -> None:
    """A call that began with the revoked key must not pause the provider that was given a new one meanwhile."""
    said = [Answer(Outcome(kind, "revoked"), "x", VERSION - 1) for kind in kinds]
    assert health.resumed().after(said, VERSION, now) == (health.resumed(), ())


@given(healths, moments)
def test_held_and_probed(health: Health, now: int) -> None:
    """It is held exactly while a pause is in force, and only a cause that probes end has a moment for the next one."""
    assert (health.hold(now) is None) == (not health.is_paused(now))
    for cause in Cause:
        paused = health.with_pause(cause, "x", now)
        assert (paused.probe_at is not None) == (cause in PROBES)
        assert paused.probe_at is None or not paused.probe_due(now)
        assert paused.resumed().hold(now) is None


@given(st.lists(st.booleans(), max_size=200), moments)
def test_the_breaker_counts_every_answer_once(fail: list[bool], now: int) -> None:
    """In one batch or one by one, the window's numbers are those of the answers since its first failure."""
    said = [Answer(BUSY if each else FINE, "x", VERSION) for each in fail]
    one_by_one = Health()
    for each in said:
        one_by_one, _ = one_by_one.after([each], VERSION, now)
    since = fail[fail.index(True) :] if True in fail else []
    if one_by_one.pause_cause is None:
        assert (one_by_one.window_attempts, one_by_one.window_failures) == (len(since), sum(since))
