"""How fast a dispatcher is, and what several have done together."""

from __future__ import annotations

from notifyctl.dispatch.tally import PACE_S, Pace, Tally, hooks_summed, summed


def test_the_pace_is_that_of_the_last_minute() -> None:
    """At a steady rate it is the rate, from the first heartbeat on; a minute after the last it is nothing."""
    pace = Pace(1_000.0)
    assert [pace.per_minute(10 * beat, 1_000.0 + 5 * beat) for beat in range(1, 30)] == [120] * 29
    later = [pace.per_minute(290, 1_145.0 + 5 * beat) for beat in range(1, 14)]
    assert later == sorted(later, reverse=True)
    assert later[0] < 120
    assert later[-1] == 0


def test_the_pace_survives_a_pause() -> None:
    """Heartbeats that failed to be stored leave no gap: what was done meanwhile counts over the time it took."""
    pace = Pace(0.0)
    pace.per_minute(10, 5.0)
    assert pace.per_minute(10 + 600, 5.0 + 10 * PACE_S) == 60


def test_two_beats_at_once() -> None:
    """No time between two heartbeats is no reason to fail."""
    assert Pace(5.0).per_minute(3, 5.0) == 0


def test_sums() -> None:
    """Counts, what is in flight and the times of calls are added up by provider; the parts stay as they were."""
    one, other = Tally(), Tally()
    one.of("fcm").accepted, other.of("fcm").accepted = 2, 3
    one.of("fcm").in_flight, other.of("fcm").dead = 4, 1
    one.of("fcm").latencies.append(5.0)
    other.of("fcm").latencies.append(7.0)
    other.of("twilio").held = "paused"
    total = Tally(summed([one, other]))
    assert (total.accepted, total.dead, total.in_flight, total.attempts) == (5, 1, 4, 6)
    assert list(total.of("fcm").latencies) == [5.0, 7.0]
    assert total.of("twilio").held == "paused"
    assert (one.accepted, list(one.of("fcm").latencies)) == (2, [5.0])


def test_what_stays_of_one_that_ended() -> None:
    """Its counts stay; nothing of it is in flight or held any more, and its calls time nothing."""
    tally = Tally()
    fcm = tally.of("fcm")
    fcm.accepted, fcm.in_flight, fcm.held = 2, 4, "paused"
    fcm.latencies.append(5.0)
    kept = tally.counts().of("fcm")
    assert (kept.accepted, kept.in_flight, kept.held, kept.p99_ms()) == (2, 0, None, None)


def test_webhooks_are_summed_and_told() -> None:
    """Deliveries of several dispatchers are added up; what did not happen is not mentioned."""
    one, other = Tally(), Tally()
    one.webhooks.delivered, other.webhooks.delivered, other.webhooks.failed = 1_200, 30, 2
    total = hooks_summed([one, other])
    assert total.told() == "webhooks: 1,230 delivered, 2 failing"
    assert total.minus(one.webhooks).told() == "webhooks: 30 delivered, 2 failing"
    assert Tally().webhooks.told() == ""
    assert (one.webhooks.delivered, other.counts().webhooks.failed) == (1_200, 2)
