"""The whole system at a glance: what it does, what is wrong, and the command that helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from notifyctl.core.audit.anchoring import AnchorTerms
from notifyctl.core.conditions import KeptCondition
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Health, Hold
from notifyctl.core.notification import WAITING, State
from notifyctl.core.presence import Alive
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring
from notifyctl.providers import registry
from notifyctl.providers.unseal import open_credentials
from notifyctl.services import atrest, auditing, bursts, credentials, keywatch, presence, receivers
from notifyctl.services.presence import Problem
from notifyctl.services.receivers import ReceiversLately
from notifyctl.store import conditions, providers
from notifyctl.store import status as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.status import Afterwards, DeadLetters, LastHour, Waiting

LONGEST_REASON = 300
SENDERS_TOLD = 3
MANY = 5
"""So many of a kind are no chance."""
BOUNCES_OF = 20
"""More bounces than one of so many: providers close accounts for that."""
_UNEXPLAINED = (State.DUE, State.UNKNOWN)

Clock = Callable[[int, int], str]
"""Writes a moment for people, as it is seen from another (both in milliseconds)."""


@dataclass(frozen=True, slots=True)
class InState:
    """What is pending in one state: how many, the least `due_at` (ms), how many of each provider, and by which rule."""

    count: int
    first_due_at: int | None
    by_provider: Mapping[str, int]
    by_rule: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """A provider and its last hour. `state` is ok, paused, open, throttled, disabled or missing.

    At `probe_at` or later one notification tries whether it works again, at `throttled_until` where it is throttled;
    after that `ceiling` calls may be in flight at once. `held_senders` have a full queue, and wait until then.
    `base_url` is set where overridden.
    """

    provider: str
    state: str
    paused_at: int | None
    paused_until: int | None
    pause_reason: str | None
    pause_cause: str | None
    probe_at: int | None
    throttled_until: int | None
    ceiling: int | None
    held_senders: Mapping[str, int]
    base_url: str | None
    held: int
    total: int
    sent: int
    failed: int
    per_minute: int
    p50_ms: int | None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """Everything at one moment `now` (milliseconds)."""

    now: int
    dispatchers: list[Alive]
    problems: list[Problem]
    last_day: Mapping[str, int]
    afterwards: Afterwards
    pending: Mapping[State, InState]
    over_an_hour: int
    unexplained: int
    dead_letters: DeadLetters
    providers: list[ProviderLine]
    receivers: ReceiversLately
    conditions: list[KeptCondition]


def read(
    db: Database,
    keyring: Keyring | NotifyctlError,
    urls: Mapping[str, str],
    clock: Clock,
    anchors: AnchorTerms | None = None,
) -> SystemStatus:
    """Return the state of the system. `urls` are the base URLs by provider that stand above the configured ones.

    `anchors` say where those of the audit trail are to be kept.

    `keyring` may be the reason why there is none: then that is among the problems. `clock` writes a moment as whoever
    reads the problems knows it, seen from another.
    """
    with db.read() as tx:
        return _read(tx, keyring, urls, clock, anchors)


def _read(
    tx: Tx,
    keyring: Keyring | NotifyctlError,
    urls: Mapping[str, str],
    clock: Clock,
    anchors: AnchorTerms | None,
) -> SystemStatus:
    now, alive, waiting, letters = tx.now, store.alive(tx), store.waiting(tx), store.dead_letters(tx)
    configs = sorted(providers.listed(tx), key=lambda config: (-config.priority, config.provider_name))
    day, hour = store.last_day(tx), store.last_hour(tx)
    noted = [*bursts.problems(tx), *auditing.problems(tx, anchors), *keywatch.problems(tx), *atrest.problems(tx)]
    vanished, after, told = store.vanished(tx), store.afterwards(tx), receivers.lately(tx)
    lines = _lines(configs, hour, waiting, urls, now)
    pending = {state: _in_state(waiting, state) for state in WAITING}
    unexplained = sum(each.old for each in waiting if each.state in _UNEXPLAINED)
    return SystemStatus(
        now=now,
        dispatchers=alive,
        problems=[
            *(problem for line in lines for problem in _of_provider(line, now, clock)),
            *_of_urls(lines, urls),
            *_of_keys(configs, keyring),
            *_of_adapters(),
            *_of_dispatching(alive, pending, unexplained, now),
            *presence.problems(alive, vanished, now),
            *_of_dead_letters(letters),
            *noted,
            *_of_afterwards(after, day["sent"], now),
            *told.problems,
        ],
        last_day=day,
        afterwards=after,
        pending=pending,
        over_an_hour=sum(each.old for each in waiting),
        unexplained=unexplained,
        dead_letters=letters,
        providers=lines,
        receivers=told,
        conditions=conditions.in_force(tx),
    )


def _in_state(waiting: list[Waiting], state: State) -> InState:
    mine = [each for each in waiting if each.state is state]
    return InState(
        count=sum(each.count for each in mine),
        first_due_at=min((each.first_due_at for each in mine), default=None),
        by_provider=_summed((each.provider, each.count) for each in mine),
        by_rule=_summed((each.rule, each.count) for each in mine if each.rule is not None),
    )


def _summed(counts: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    total = Counter[str]()
    for name, count in counts:
        total[name] += count
    return dict(total)


def _lines(
    configs: list[ProviderConfig],
    hour: list[LastHour],
    waiting: list[Waiting],
    urls: Mapping[str, str],
    now: int,
) -> list[ProviderLine]:
    """Return the configured providers, then those that only notifications name."""
    did = {each.provider: each for each in hour}
    held = {each.provider: each.count for each in waiting if each.state is State.HELD}
    known = {config.provider_name: config for config in configs}
    names = [*known, *sorted({*did, *held} - set(known))]
    return [
        _line(
            name,
            known.get(name),
            did.get(name) or LastHour(name, 0, 0, 0, None),
            held.get(name, 0),
            urls.get(name),
            now,
        )
        for name in names
    ]


def _line(
    name: str, config: ProviderConfig | None, did: LastHour, held: int, url: str | None, now: int
) -> ProviderLine:
    state = _state(config, now)
    paused = config is not None and config.is_active and config.health.is_paused(now)
    health = config.health if config is not None and paused else Health()
    configured = None if config is None else config.config.get("base_url")
    return ProviderLine(
        provider=name,
        state=state,
        paused_at=health.paused_at,
        paused_until=health.paused_until,
        pause_reason=health.pause_reason,
        pause_cause=health.pause_cause,
        probe_at=health.probe_at,
        throttled_until=health.throttled_until(now),
        ceiling=None if config is None else config.health.ceiling,
        held_senders={} if config is None else config.held_senders(now),
        base_url=url or (str(configured) if configured else None),
        held=held,
        total=did.total,
        sent=did.sent,
        failed=did.failed,
        per_minute=round(did.sent / 60),
        p50_ms=did.p50_ms,
    )


def _state(config: ProviderConfig | None, now: int) -> str:
    if config is None:
        return "missing"
    return str(config.hold(now) or "ok")


def _of_provider(line: ProviderLine, now: int, clock: Clock) -> list[Problem]:
    name, held = line.provider, f"; {line.held:,} held" if line.held else ""
    problems = []
    if line.state in (Hold.PAUSED, Hold.OPEN):
        ago = show_ms(now - (line.paused_at or now))
        left = "" if line.paused_until is None else f", {show_ms(line.paused_until - now)} to go"
        message = f"{name} {line.state} {ago}{left}: {line.pause_reason or 'no reason given'}{held}{_probe(line, now)}"
        problems.append(
            Problem(
                f"provider_{line.state}",
                message,
                credentials.out_of_hold(line.provider, line.state, line.pause_cause, line.pause_reason),
            )
        )
    elif line.state == Hold.THROTTLED:
        until = line.throttled_until or now
        left = f" until {_moment(until, now, clock)}" if until > now else ""
        message = f"{name} throttled{left}: {line.pause_reason or 'no reason given'}{held}"
        probe = "" if left else "; a probe is due"
        problems.append(Problem("provider_throttled", f"{message}{probe}", f"notifyctl providers show {name}"))
    elif line.state == Hold.DISABLED and line.held:
        problems.append(Problem("provider_disabled", f"{name} disabled{held}", f"notifyctl providers enable {name}"))
    elif line.state == "missing" and line.held:
        problems.append(
            Problem("provider_missing", f"{name} is not configured{held}", f"notifyctl providers add {name}")
        )
    elif line.state == "ok" and line.failed >= MANY and line.failed > line.sent:
        message = f"{name}: of the last hour's notifications {line.failed:,} failed and {line.sent:,} were sent"
        problems.append(Problem("provider_failing", message, f"notifyctl dlq list --provider {name}"))
    return [*problems, *_of_senders(line, now, clock)]


def _of_senders(line: ProviderLine, now: int, clock: Clock) -> list[Problem]:
    """Return which senders are left alone, because their queue at the provider is full."""
    if not line.held_senders:
        return []
    told = [f"{name} until {_moment(until, now, clock)}" for name, until in line.held_senders.items()]
    more = f" and {len(told) - SENDERS_TOLD:,} more" if len(told) > SENDERS_TOLD else ""
    message = f"{line.provider} holds senders whose queue is full: {', '.join(told[:SENDERS_TOLD])}{more}"
    return [Problem("senders_held", message, f"notifyctl providers show {line.provider}")]


def _moment(moment: int, now: int, clock: Clock) -> str:
    return f"{clock(moment, now)} (in {show_ms(moment - now)})"


def _of_urls(lines: list[ProviderLine], urls: Mapping[str, str]) -> list[Problem]:
    """Return what goes elsewhere than to the provider itself: to a sandbox or a proxy, perhaps by mistake."""
    configured = {line.provider: line.base_url for line in lines if line.base_url is not None}
    by_url: dict[str, list[str]] = {}
    for name, url in sorted({**configured, **urls}.items()):
        by_url.setdefault(url, []).append(name)
    return [
        Problem(
            "provider_url",
            f"{', '.join(names)} {'goes' if len(names) == 1 else 'go'} to {url}",
            "notifyctl config show --origin" if names[0] in urls else f"notifyctl providers show {names[0]}",
        )
        for url, names in by_url.items()
    ]


def _probe(line: ProviderLine, now: int) -> str:
    if line.probe_at is None:
        return ""
    return f"; next probe in {show_ms(line.probe_at - now)}" if line.probe_at > now else "; a probe is due"


def _out_of_unreadable(hint: str | None, provider: str) -> str:
    """Return the hint where it is about the keys; else the credentials themselves have to be entered again."""
    about_keys = hint is not None and hint.startswith(("set NOTIFYCTL", "NOTIFYCTL", "chmod", "notifyctl"))
    return hint if hint is not None and about_keys else credentials.replacing(provider)


def _of_keys(configs: list[ProviderConfig], keyring: Keyring | NotifyctlError) -> list[Problem]:
    """Return why credentials in use cannot be read; a reason that several share once."""
    reasons: dict[str, tuple[str | None, list[str]]] = {}
    for config in configs:
        error = _unreadable(config, keyring)
        if error is not None:
            message = error.message.replace(f" of {config.id}", "")  # the provider's name says which row
            reasons.setdefault(message, (error.hint, []))[1].append(config.provider_name)
    return [
        Problem("credentials", f"{', '.join(names)}: {message}", _out_of_unreadable(hint, names[0]))
        for message, (hint, names) in reasons.items()
    ]


def _unreadable(config: ProviderConfig, keyring: Keyring | NotifyctlError) -> NotifyctlError | None:
    if not config.is_active:
        return None
    if isinstance(keyring, NotifyctlError):
        return keyring
    try:
        open_credentials(config, keyring, {})
    except NotifyctlError as error:
        return error
    return None


def _of_adapters() -> list[Problem]:
    """Return which installed providers cannot be loaded."""
    hint = "reinstall or remove the package that brings it"
    return [
        Problem("broken_provider", _cut(" ".join(reason.split())), hint)
        for _, reason in sorted(registry.broken().items())
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def is_dispatched(db: Database) -> bool:
    """Return whether a dispatcher is at work."""
    with db.read() as tx:
        return bool(store.alive(tx))


def _of_dispatching(alive: list[Alive], pending: Mapping[State, InState], unexplained: int, now: int) -> list[Problem]:
    ready = pending[State.DUE].count + pending[State.UNKNOWN].count
    if ready and not alive:
        oldest = min(pending[state].first_due_at or now for state in _UNEXPLAINED if pending[state].count)
        message = f"no dispatcher is running; {ready:,} due, the oldest for {show_ms(now - oldest)}"
        return [Problem("no_dispatcher", message, "notifyctl dispatch")]
    if unexplained:
        message = f"{unexplained:,} due for over an hour, and nothing holds them"
        return [Problem("unexplained", message, "notifyctl notifications list --state due --stuck 1h")]
    return []


def _of_dead_letters(letters: DeadLetters) -> list[Problem]:
    if not letters.unresolved:
        return []
    message = f"DLQ {letters.unresolved:,} unresolved, {letters.last_hour:,} in the last hour"
    return [Problem("dead_letters", message, "notifyctl dlq list")]


def _of_afterwards(after: Afterwards, sent: int, now: int) -> list[Problem]:
    problems = []
    if after.overdue and after.first_due_at is not None:
        message = f"{after.overdue:,} receipts are not asked for, the first for {show_ms(now - after.first_due_at)}"
        problems.append(Problem("receipts_overdue", message, "notifyctl receipts poll"))
    if after.bounced >= MANY and after.bounced * BOUNCES_OF > sent:
        message = f"{after.bounced:,} came back within 24 h, of {sent:,} sent"
        problems.append(Problem("bounced", message, "notifyctl metrics show --by provider"))
    return problems
