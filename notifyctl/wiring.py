"""The composition root: from settings to the store, the keys, the actor and the dispatcher."""

from __future__ import annotations

from functools import cached_property

from notifyctl.config import Settings, agent, read_keys
from notifyctl.core.errors import NotAllowed
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.store.engine import Database


class System:
    """What the services work on. Nothing is opened before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def database(self) -> Database:
        """The database as it is, unchecked: for the commands that create and upgrade it."""
        return Database(self.settings.database_url)

    @cached_property
    def db(self) -> Database:
        """The database, at this program's schema version, for an actor who may use it."""
        self.database.require_version()
        _ = self.actor
        return self.database

    @cached_property
    def actor(self) -> Actor:
        """Who is acting. Raises NotAllowed for an API key that is wrong, revoked or expired."""
        from notifyctl.services import keys

        if self.settings.api_key is None:
            if self.settings.require_api_key:
                raise NotAllowed("this profile demands an API key", "set NOTIFYCTL_API_KEY")
            return Actor(agent=agent())
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
