"""The composition root: from settings to the store, the keys, the actor, and the dispatcher with all it is made of.

Nobody else makes them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from notifyctl.config import Settings, keys_file, read_keys
from notifyctl.config.whoami import operator
from notifyctl.core.audit.sealing import MacKey, newest_key
from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.model import Actor
from notifyctl.core.refusal import KeyRefusal
from notifyctl.core.scope import Scope
from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.services.admission import Ask, Founds, admit, note_refusal
from notifyctl.store.db.database import Database
from notifyctl.wiring.keys import FollowedKeyring

if TYPE_CHECKING:
    from notifyctl.dispatch.dispatcher import Dispatcher
    from notifyctl.dispatch.notices import Notice
    from notifyctl.dispatch.options import DispatchOptions
    from notifyctl.dispatch.polling import Findings


log = logging.getLogger(__name__)

ANSWER_S = 20.0
"""For how long a dispatcher waits for the answer to a statement: its own are short, and its leases run."""


class System:
    """What the services work on. Nothing is opened before it is used.

    `scope` is what an API key needs for it. The audit trail says by which `command` and for what `reason` it was used.
    """

    def __init__(
        self, settings: Settings, scope: Scope | None, command: str | None = None, reason: str | None = None
    ) -> None:
        self.settings = settings
        self.scope = scope
        self._command, self._reason = command, reason
        self._admitted: Database | None = None

    @cached_property
    def operator(self) -> Actor:
        """Who runs this process, whatever the API key."""
        return replace(operator(self._command), reason=self._reason)

    @cached_property
    def unchecked(self) -> Database:
        """The database before anybody was asked who they are: for its name, and for what does not connect."""
        if not self.settings.database_url:
            raise UsageError("there is no home folder to keep a database in", "NOTIFYCTL_DATABASE_URL names one")
        return Database(self.settings.database_url).opening(lambda: self.keyring)

    def admitted(self, founds: Founds | None = None) -> Database:
        """Return the database, at whatever revision it is, for an actor who may use it.

        `founds` says of what founds a system whether it does. Raises NotAllowed for an API key that is missing, wrong,
        revoked, expired or not for this, and whatever keeps the key from being looked at.
        """
        if self._admitted is None:  # one call is counted, however often it is asked who makes it
            settings = self.settings
            ask, demanded = Ask(self.scope, settings.api_limit), settings.require_api_key
            actor = admit(self.unchecked, settings.api_key, self.operator, ask, demanded=demanded, founds=founds)
            self._admitted = self.unchecked.acting_for(actor).authenticating(self._mac_key)
        return self._admitted

    def opened(self, founds: Founds | None = None) -> Database:
        """Return the database as `admitted` does, at this program's schema version."""
        database = self.admitted(founds)
        database.require_version()
        return database

    @cached_property
    def db(self) -> Database:
        """The database, at this program's schema version, for an actor who may use it."""
        return self.opened()

    def note(self, refusal: KeyRefusal) -> None:
        """Note what the API key was refused."""
        who = ", ".join(filter(None, (self.operator.name, self.operator.agent)))
        note_refusal(self.unchecked, refusal, self.scope, who)

    @property
    def sees_addresses(self) -> bool:
        """Whether who was let in sees people's addresses; nobody was let in yet: nothing was seen yet."""
        return self._admitted is None or self._admitted.actor.sees_addresses

    @property
    def actor(self) -> Actor:
        """Who is acting."""
        return self.db.actor

    @cached_property
    def keyring(self) -> Keyring:
        """The encryption keys; empty when there are none. A file's are followed as it changes."""
        file = keys_file(self.settings)
        return parse_keys(*read_keys(self.settings)) if file is None else FollowedKeyring(file)

    def _mac_key(self) -> MacKey | None:
        return self._newest_key

    @cached_property
    def _newest_key(self) -> MacKey | None:
        """The key for audit rows. Whoever cannot read the encryption keys acts without one, which `verify` shows."""
        try:
            return newest_key(self.keyring)
        except NotifyctlError as error:
            log.warning("what is done now has no MAC in the audit trail: %s", error.message)
            return None

    def close(self) -> None:
        """Close what was opened."""
        if "unchecked" in vars(self):
            self.unchecked.close()


def make_dispatcher(
    db: Database,
    keyring: Keyring,
    options: DispatchOptions,
    *,
    operator: Actor | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
) -> Dispatcher:
    """Return a dispatcher; `notify` says what people should know. Its imports are no other command's.

    What it does by itself is nobody's but the `operator`'s who started it: users can be deleted while it runs.
    """
    from notifyctl.wiring.dispatching import assemble, load_all

    if not options.once:
        load_all()
    own = db.acting_for(operator or Actor()).authenticating(lambda: newest_key(keyring)).opening(lambda: keyring)
    return assemble(own.answering_within(ANSWER_S), keyring, options, notify)


async def poll_receipts(
    system: System, provider: str | None, limit: int | None, notify: Callable[[str], None]
) -> list[Findings]:
    """Ask providers once what became of messages; see `dispatch.polling.poll`."""
    from notifyctl.dispatch.polling import poll
    from notifyctl.providers.unseal import open_credentials

    keyring, urls = system.keyring, system.settings.provider_urls
    return await poll(system.db, lambda config: open_credentials(config, keyring, urls), provider, limit, notify)
