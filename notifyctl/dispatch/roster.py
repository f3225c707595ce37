"""Who delivers: the providers that this dispatcher works for, who stands in for whom, and their senders."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from notifyctl.core import failover
from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotAllowed, NotFound
from notifyctl.core.model import Channel
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.files import Files
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.sender import Sender
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.templates import Templates
from notifyctl.providers import registry
from notifyctl.providers.contract import Adapter, Checkable, Credentials, Limited
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.unseal import open_credentials
from notifyctl.providers.wire import Wire, is_reachable
from notifyctl.store import providers
from notifyctl.store.db.tx import Tx

MANY = 1 << 30

log = logging.getLogger(__name__)


class Roster:
    """The active providers of the wanted channels, as they were when last looked at."""

    def __init__(
        self,
        threads: StoreThreads,
        keyring: Keyring,
        channels: frozenset[Channel],
        urls: Mapping[str, str],
        wire: Wire,
        tokens: TokenSource,
        connections: int,
        one_click: OneClick,
    ) -> None:
        self._threads = threads
        self._files = Files(threads)
        self._templates = Templates(threads)
        self._one_click = one_click
        self._keyring = keyring
        self._channels = channels
        self._urls = urls
        self._wire = wire
        self._tokens = tokens
        self._connections = connections
        self._configs: dict[str, ProviderConfig] = {}
        self._fail: frozenset[str] = frozenset()
        self._stand_ins: dict[str, tuple[str, ...]] = {}
        self._at_once: dict[str, int] = {}

    @property
    def configs(self) -> Mapping[str, ProviderConfig]:
        """The providers by name, the preferred first."""
        return self._configs

    def polled(self, provider: str) -> ProviderConfig | None:
        """Return a provider's configuration, if it is to be asked for receipts."""
        config = self._configs.get(provider)
        return config if config is not None and config.polled else None

    def enter(self, tx: Tx) -> None:
        """Learn the providers and check that their credentials open; raise NotAllowed where some do not.

        Those of whom nobody has written yet which channel they are of get it written.
        """
        self._know(providers.load_active(tx), tx.now)
        for config in self._configs.values():
            try:
                self.open(config)
            except NotAllowed as error:
                raise NotAllowed(f"{config.provider_name}: {error.message}", error.hint) from error
            channel = registry.get(config.provider_name).channel
            if config.channel is not channel:
                providers.set_channel(tx, config.id, channel)

    async def refresh(self) -> None:
        """Look at the providers again; what is known stays while the database is away."""
        with suppress(DatabaseUnavailable, CommitUnknown):
            self._know(*await self._threads.read(lambda tx: (providers.load_active(tx), tx.now)))

    def is_ours(self, provider: str) -> bool:
        """Return whether this dispatcher can and shall deliver by a provider."""
        try:
            return registry.get(provider).channel in self._channels
        except (NotFound, registry.BrokenProvider):  # not installed here, or unavailable by itself: the others work
            return False

    def open(self, config: ProviderConfig) -> Credentials:
        """Return a provider's credentials. Raises NotAllowed without the right key."""
        return open_credentials(config, self._keyring, self._urls)

    async def sender(self, provider: str, version: int) -> Sender | None:
        """Return a provider's sender at this version of its configuration; None when that is not known now.

        Raises NotAllowed without the right key.
        """
        config = self._configs.get(provider)
        if config is None or config.updated_at != version:
            # Changed since we looked: what was claimed goes by the new credentials, not by ours.
            await self.refresh()
            config = self._configs.get(provider)
        if config is None or config.updated_at != version:
            return None  # disabled or changed again, or the database is away
        credentials = self.open(config)
        adapter = registry.get(provider)
        problem = _problem(adapter, credentials)
        made_of = (self._files, self._templates, self._one_click)
        return Sender(adapter, credentials, self._wire, self._tokens, *made_of, problem)

    def stand_ins(self, provider: str) -> Sequence[str]:
        """Return for whom a provider stands in now."""
        return self._stand_ins.get(provider, ())

    def others(self, provider: str) -> Sequence[str]:
        """Return the other providers of a provider's channel that work, the preferred first."""
        channel = registry.get(provider).channel
        fit = (name for name in self._configs if name != provider and name not in self._fail)
        return tuple(name for name in fit if registry.get(name).channel is channel)

    def names(self) -> Iterable[str]:
        """Return the providers' names."""
        return self._configs

    async def leads_to(self, provider: str) -> bool | None:
        """Return whether there is a way to a provider now, nothing being asked; None where that cannot be tried."""
        adapter = registry.get(provider)
        if not isinstance(adapter, Checkable):
            return None
        try:
            url = adapter.checkup(self.open(self._configs[provider])).url
        except Exception:  # settings that do not do, or a third party's adapter: its lane says so
            return None
        return await is_reachable(url)

    @property
    def share(self) -> int:
        """How many calls to each provider this host holds at once."""
        return max(1, self._connections // max(1, len(self._configs)))

    def at_once(self, provider: str) -> int:
        """Return how many calls a provider can take at once."""
        return self._at_once.get(provider, MANY)

    def _know(self, configs: Sequence[ProviderConfig], now: int) -> None:
        self._configs = {each.provider_name: each for each in configs if self.is_ours(each.provider_name)}
        self._fail = frozenset(name for name, each in self._configs.items() if each.fails(now))
        self._at_once = {name: min(self.share, _at_once(name, each)) for name, each in self._configs.items()}
        self._stand_ins = {}
        for channel in Channel:
            preferred = [(name, name in self._fail) for name in self._configs if registry.get(name).channel is channel]
            self._stand_ins |= failover.stand_ins(preferred)


def _problem(adapter: Adapter, credentials: Credentials) -> str | None:
    """Return what is missing in a provider's settings."""
    try:
        return next(iter(adapter.check(credentials)), None)
    except Exception as error:  # a third party's
        log.exception("provider %s: checking its settings failed", adapter.name)
        return f"its settings could not be checked: {type(error).__name__}"


def _at_once(provider: str, config: ProviderConfig) -> int:
    adapter = registry.get(provider)
    if not isinstance(adapter, Limited):
        return MANY
    try:
        return max(1, adapter.at_once(config.config))
    except Exception:  # a third party's, or settings that were not checked: they are when a call is made
        return MANY
