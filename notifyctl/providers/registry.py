"""Which providers there are: the adapters in the entry-point group `notifyctl.providers`, notifyctl's own among them.

An adapter is imported when it is first asked for. One that cannot be loaded is unavailable by itself; the others work.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from notifyctl.core.errors import NotFound, NotifyctlError
from notifyctl.core.model import PROVIDER_NAME, Channel
from notifyctl.providers.contract import Adapter

GROUP = "notifyctl.providers"

_MEMBERS = ("check", "build", "read")
_OWN = {
    "fcm": "notifyctl.providers.fcm:Fcm",
    "sendgrid": "notifyctl.providers.sendgrid:SendGrid",
    "smtp": "notifyctl.providers.smtp:Smtp",
    "twilio": "notifyctl.providers.twilio:Twilio",
}
"""The entry points of this package: who asks for one of them need not look through all that is installed."""


class BrokenProvider(NotifyctlError):
    """An installed provider cannot be loaded; its package says why."""

    code = "broken_provider"


def names() -> list[str]:
    """Return the names of the installed providers, sorted; nothing is imported."""
    return sorted(_entry_points())


def get(name: str) -> Adapter:
    """Return the adapter called `name`; raise NotFound when there is none, BrokenProvider when it cannot be loaded."""
    if name in _OWN:
        return _load(EntryPoint(name, _OWN[name], GROUP))
    found = _entry_points().get(name)
    if found is None:
        raise NotFound(f"no provider is called {name!r}", f"installed are: {', '.join(names()) or 'none'}")
    return _load(found)


def channel_of(name: str) -> Channel | None:
    """Return the channel on which a provider delivers; None for one that is not here."""
    try:
        return get(name).channel
    except NotifyctlError:
        return None


def for_channel(channel: Channel) -> list[Adapter]:
    """Return the adapters that deliver on `channel`, by name; those that cannot be loaded are left out."""
    return [adapter for adapter in loadable() if adapter.channel is channel]


def loadable() -> Iterable[Adapter]:
    """Yield the adapters that can be loaded, by name."""
    for name in names():
        try:
            yield get(name)
        except BrokenProvider:
            continue


def broken() -> dict[str, str]:
    """Return why each provider that cannot be loaded cannot, by name."""
    reasons = {}
    for name in names():
        try:
            get(name)
        except BrokenProvider as problem:
            reasons[name] = problem.message
    return reasons


def select(candidates: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    """Return one entry point a name: notifyctl's own before a third party's, names that cannot be stored left out.

    So no package can take over the credentials of a provider by using its name.
    """
    chosen: dict[str, EntryPoint] = {}
    for point in sorted(candidates, key=lambda point: (not _is_ours(point), point.value)):
        if PROVIDER_NAME.fullmatch(point.name):
            chosen.setdefault(point.name, point)
    return chosen


def load(point: EntryPoint) -> Adapter:
    """Import the adapter `point` names and make one; raise BrokenProvider, whatever goes wrong."""
    try:
        adapter = point.load()()
        channel = Channel(adapter.channel)
        fits = adapter.name == point.name and all(callable(getattr(adapter, member)) for member in _MEMBERS)
    except Exception as error:  # a third party's code: anything may come
        reason = f"{type(error).__name__}: {error}"
        raise BrokenProvider(f"provider {point.name!r} ({point.value}) cannot be loaded: {reason}") from error
    if not fits or not isinstance(adapter.channel, Channel):
        raise BrokenProvider(f"provider {point.name!r} ({point.value}) is no adapter of that name for {channel}")
    return adapter  # type: ignore[no-any-return]  # what could be checked of the protocol was


@cache
def _entry_points() -> dict[str, EntryPoint]:
    # What is installed does not change while a process runs, and reading every package's metadata takes milliseconds.
    return select(entry_points(group=GROUP))


@cache
def _load(point: EntryPoint) -> Adapter:
    return load(point)


def _is_ours(point: EntryPoint) -> bool:
    return point.module.partition(".")[0] == "notifyctl"
