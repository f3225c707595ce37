"""What monitoring asks for, in the words of the program that collects it.

Names and types follow Prometheus' rules (prometheus.io/docs/practices/naming and /docs/instrumenting): base units,
`_total` for what only grows, moments in seconds since the epoch, so that ages are counted where they are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from notifyctl import __version__
from notifyctl.core.conditions import Condition
from notifyctl.core.health import Hold

if TYPE_CHECKING:
    from notifyctl.services.metrics import Ever
    from notifyctl.services.status import SystemStatus

_PREFIX = "notifyctl_"
_PROVIDER_STATES = ("ok", *Hold)

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]


class Exposition(StrEnum):
    """For which program it is written."""

    PROMETHEUS = "prometheus"


def prometheus(report: SystemStatus, ever: Sequence[Ever]) -> str:
    """Return the text that Prometheus' collectors read (exposition format 0.0.4)."""
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import Collector

    class Once(Collector):
        def collect(self) -> Iterator[Any]:
            yield from _of_pending(report)
            yield from _of_parts(report)
            yield from _of_ever(ever)

    return generate_latest(Once()).decode()


WRITERS: Mapping[Exposition, Callable[[SystemStatus, Sequence[Ever]], str]] = {Exposition.PROMETHEUS: prometheus}


def _of_pending(report: SystemStatus) -> Iterator[Any]:
    known = [line.provider for line in report.providers]
    pending = {state.value: found for state, found in report.pending.items()}
    yield _gauge(
        "pending",
        "Notifications that wait or are being sent, by what they do now.",
        ("state", "provider"),
        (
            ((state, provider), found.by_provider.get(provider, 0))
            for state, found in pending.items()
            for provider in sorted({*known, *found.by_provider})
        ),
    )
    yield _gauge(
        "pending_first_due_timestamp_seconds",
        "When the first of them is due, or has been.",
        ("state",),
        (((state,), found.first_due_at / 1_000) for state, found in pending.items() if found.first_due_at is not None),
    )
    rules: Counter[str] = Counter()
    for found in pending.values():
        rules.update(found.by_rule)
    yield _gauge("deferred", "Notifications put off, by the rule that did.", ("rule",), _each(rules))
    yield _gauge(
        "pending_over_1h", "Notifications that are due for more than an hour.", (), [((), report.over_an_hour)]
    )
    yield _gauge("pending_unexplained", "Those of them that nothing holds.", (), [((), report.unexplained)])
    yield _gauge("dead_letters", "Dead letters that nobody has resolved.", (), [((), report.dead_letters.unresolved)])


def _of_parts(report: SystemStatus) -> Iterator[Any]:
    yield _gauge("build_info", "The version that wrote this.", ("version",), [((__version__,), 1)])
    yield _gauge("dispatchers", "Dispatchers at work.", (), [((), len(report.dispatchers))])
    yield _gauge(
        "provider_state",
        "1 for the state that a provider is in.",
        ("provider", "state"),
        (
            ((line.provider, state.replace(" ", "_")), line.state == state)
            for line in report.providers
            for state in _PROVIDER_STATES
        ),
    )
    lately = (((line.provider,), line.p50_ms / 1_000) for line in report.providers if line.p50_ms is not None)
    yield _gauge("provider_p50_seconds", "The median call's time, of the last hour.", ("provider",), lately)
    yield _gauge("problems", "What status says is wrong.", ("code",), _each(Counter(p.code for p in report.problems)))
    conditions = Counter(each.condition for each in report.conditions)
    found = (((condition.value,), conditions[condition]) for condition in Condition)
    yield _gauge("conditions", "Conditions that hold, as on_change tells them.", ("condition",), found)
    told = report.receivers
    yield _gauge("webhooks", "Webhooks, by how they do.", ("state",), _each(told.by_state))
    yield _gauge("webhook_deliveries_waiting", "Deliveries still to be made.", (), [((), told.waiting)])
    if told.oldest_undelivered_at is not None:
        oldest = [((), told.oldest_undelivered_at / 1_000)]
        yield _gauge("webhook_first_undelivered_timestamp_seconds", "Since when the oldest of them waits.", (), oldest)


def _of_ever(ever: Sequence[Ever]) -> Iterator[Any]:
    of = ("provider", "channel")
    keys = [(each.provider, each.message_type) for each in ever]
    counters = (
        ("sent", "Notifications that a provider took.", [each.sent for each in ever]),
        ("delivered", "Those that arrived, as far as receipts say.", [each.delivered for each in ever]),
        ("bounced", "Those that came back, as far as receipts say.", [each.bounced for each in ever]),
    )
    for name, text, numbers in counters:
        yield _counter(name, text, of, zip(keys, numbers, strict=True))
    # What is retried has not failed any more: no counter.
    failed = zip(keys, [each.failed for each in ever], strict=True)
    yield _gauge("failed", "Notifications that failed for good, since the first day.", of, failed)


def _each(counts: Mapping[str, int]) -> Samples:
    return (((name,), count) for name, count in sorted(counts.items()))


def _gauge(name: str, text: str, labels: Sequence[str], values: Samples) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(_PREFIX + name, text, labels=labels), values)


def _counter(name: str, text: str, labels: Sequence[str], values: Samples) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(_PREFIX + name, text, labels=labels), values)


def _filled(family: Any, values: Samples) -> Any:
    for labels, value in values:
        family.add_metric(labels, value)
    return family
