"""What a command has at hand: the options given, the settings, the output, the system behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import typer

from notifyctl.cli.discreet import DiscreetOutput
from notifyctl.cli.noun import GIVEN, REASON
from notifyctl.cli.stdin import stdin_is_terminal
from notifyctl.config import Settings, load
from notifyctl.core.errors import NotAllowed, NotifyctlError, UsageError
from notifyctl.core.scope import Scope

SHOWS_NOBODY = frozenset(
    each
    for each in Scope
    if each.partition(":")[0]
    in ("migrate", "keys", "providers", "templates", "metrics", "categories", "audit", "secrets")
) | {Scope.FIXTURES_READ}
"""Scopes of commands in which addresses are those of senders, servers and operators: no secret.

The audit trail and dumps mask those of people by themselves.
"""


@dataclass(frozen=True)
class GlobalOptions:
    """The global options as they were given."""

    output: str | None = None
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    utc: bool = False
    no_input: bool = False
    profile: str | None = None
    config: str | None = None
    database_url: str | None = None
    fields: tuple[str, ...] | None = None
    raw: bool = False


class Invocation:
    """One run of one command, which needs `scope` of an API key. The database is opened on first use."""

    def __init__(
        self, given: GlobalOptions, scope: Scope | None, command: str | None = None, reason: str | None = None
    ) -> None:
        self.given = given
        self.scope = scope
        self.command, self.reason = command, reason
        how = {"quiet": given.quiet, "utc": given.utc, "fields": given.fields, "raw": given.raw}
        self.out = DiscreetOutput(given.output, self._hides_addresses, self._is_for_few, **how)

    @cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        return load(profile=self.given.profile, config=self.given.config, database_url=self.given.database_url)

    @cached_property
    def system(self) -> Any:
        """The store, the keys and the actor (`wiring.System`), the schema's version checked."""
        from notifyctl.wiring import System

        return System(self.settings, self.scope, self.command, self.reason)

    @property
    def may_ask(self) -> bool:
        """Whether a person sits there to be asked."""
        return not self.given.no_input and stdin_is_terminal() and sys.stderr.isatty()

    def confirm(
        self,
        question: str,
        *,
        yes: bool,
        confirm: str | None = None,
        typed: str | None = None,
        count: int | None = None,
        bulk: bool = False,
    ) -> None:
        """Ask before an act that cannot be taken back; raise UsageError unless it is agreed to.

        `yes` is the script's agreement, `confirm` what `--confirm` was given: a protected profile takes its own name
        there and no `--yes`. `typed`: the person has to type this text rather than "y". `count`: `--expect` agrees as
        well. What is protected and has no name to be confirmed by is refused, whoever sits there, and so is an act on
        many (`count` or `bulk`) without a reason for the audit trail.
        """
        name = self.settings.profile
        if self.settings.protected:
            if self._is_confirmed(name, yes, confirm, bulk=bulk or count is not None):
                return
            typed = name
        elif yes:
            return
        if not self.may_ask:
            agree = f"--confirm {name}" if self.settings.protected else "--yes"
            agree += "" if count is None or self.settings.protected else f", or --expect {count}"
            question = question.replace("\n", " ")
            raise UsageError(f"{question} Nobody is here to say yes", f"repeat it with {agree}")
        self.out.say(question)
        answer = self._ask(f"type {typed} to go on: " if typed else "go on? [y/N] ")
        if answer != (typed or "y") and not (typed is None and answer.lower() == "yes"):
            raise UsageError("not confirmed; nothing was done", "")

    def _is_confirmed(self, name: str | None, yes: bool, confirm: str | None, *, bulk: bool) -> bool:
        """Return whether an act on a protected profile is agreed to; False: whoever sits there may be asked."""
        if not name:
            raise UsageError(
                "protected = true outside a profile: there is no name to confirm by; nothing was done",
                "put it into a profile, and choose that: --profile NAME",
            )
        if confirm not in (None, name) or (yes and confirm is None):
            raise UsageError(f"profile {name} is protected", f"--confirm {name}")
        if bulk and self.reason is None:
            hint = f"--confirm {name} --reason TEXT (--audit-reason where --reason is a filter)"
            raise UsageError(f"profile {name} is protected, and wants to know why", hint)
        return confirm is not None

    def maker(self, by: str | None) -> str | None:
        """Return who makes something: whom `--by` names, else who acts. Raises NotAllowed for another than a key's own.

        An operator without a key may name anybody.
        """
        actor = self.system.actor
        if by is None or actor.grant is None:
            return by or actor.user_id or self.settings.operator
        from notifyctl.services import users

        if users.get(self.system.db, by).id != actor.user_id:
            raise NotAllowed(f"--by {by}: with an API key it is the key's user who makes it", "leave --by away")
        return by

    def say_who_sends(self) -> None:
        """Tell a person that what is due waits where no dispatcher runs; never at the cost of what was done."""
        if not self.out.on_terminal or self.out.asked_form is not None:
            return
        from notifyctl.services import status

        with suppress(NotifyctlError):
            if not status.is_dispatched(self.system.db):
                self.out.say("no dispatcher is running: notifyctl dispatch sends what is due")

    def _hides_addresses(self) -> bool:
        """Return whether the API key that acts may not see addresses of people, and such may be shown."""
        return self.scope not in SHOWS_NOBODY and self._is_for_few()

    def _is_for_few(self) -> bool:
        """Return whether the API key that acts may not see addresses of people."""
        system = vars(self).get("system")
        return system is not None and not system.sees_addresses

    def _ask(self, prompt: str) -> str:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def unconfigured(ctx: typer.Context) -> Invocation:
    """Return what a command has at hand in which nobody's settings play a part: it must not look at them."""
    given = GlobalOptions(**ctx.meta.get(GIVEN, {}))
    return Invocation(given, ctx.command.scope, ctx.command_path.partition(" ")[2], ctx.meta.get(REASON))  # type: ignore[attr-defined]


@contextmanager
def invocation(ctx: typer.Context) -> Iterator[Invocation]:
    """Yield what the command has at hand, and close what it opened."""
    from notifyctl.cli.logs import configure

    run = unconfigured(ctx)
    configure(run.settings, lambda: run.system.keyring, debug=run.given.debug, verbose=run.given.verbose)
    try:
        yield run
    except NotifyctlError as error:
        if error.refusal is not None:
            run.system.note(error.refusal)
        run.out.error(error)
        raise
    finally:
        if "system" in vars(run):
            run.system.close()
