"""The composition root: from settings to the store, the keys, the actor, and the dispatcher with all it is made of.

Nobody else makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from notifyctl.config import Settings, agent, read_keys
from notifyctl.core.errors import NotAllowed, UsageError
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.store.db.database import Database

if TYPE_CHECKING:
    from notifyctl.dispatch.dispatcher import Dispatcher
    from notifyctl.dispatch.options import DispatchOptions
    from notifyctl.dispatch.polling import Findings


class System:
    """What the services work on. Nothing is opened before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def database(self) -> Database:
        """The database as it is, unchecked: for the commands that create and upgrade it."""
        if not self.settings.database_url:
            raise UsageError("there is no home folder to keep a database in", "NOTIFYCTL_DATABASE_URL names one")
        return Database(self.settings.database_url)

    @cached_property
    def db(self) -> Database:
        """The database, at this program's schema version, for an actor who may use it."""
        self.database.require_version()
        return self.database.acting_for(self.actor)

    @cached_property
    def actor(self) -> Actor:
        """Who is acting. Raises NotAllowed for an API key that is wrong, revoked or expired."""
        if self.settings.api_key is None:
            if self.settings.require_api_key:
                raise NotAllowed("this profile demands an API key", "set NOTIFYCTL_API_KEY")
            return Actor(agent=agent())
        from notifyctl.services import keys

        return keys.authenticate(self.database, self.settings.api_key, agent())

    @cached_property
    def keyring(self) -> Keyring:
        """The encryption keys; empty when there are none."""
        text, origin = read_keys(self.settings)
        return parse_keys(text, origin)

    def close(self) -> None:
        """Close what was opened."""
        if "database" in vars(self):
            self.database.close()


def make_dispatcher(
    db: Database,
    keyring: Keyring,
    options: DispatchOptions,
    *,
    agent: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Dispatcher:
    """Return a dispatcher; `notify` says what people should know. Its imports are no other command's."""
    from notifyctl.wiring.dispatching import assemble

    return assemble(db.acting_for(Actor(agent=agent)), keyring, options, notify)


async def poll_receipts(
    system: System, provider: str | None, limit: int | None, notify: Callable[[str], None]
) -> list[Findings]:
    """Ask providers once what became of messages; see `dispatch.polling.poll`."""
    from notifyctl.dispatch.polling import poll
    from notifyctl.providers.unseal import open_credentials

    keyring, urls = system.keyring, system.settings.provider_urls
    return await poll(system.db, lambda config: open_credentials(config, keyring, urls), provider, limit, notify)
