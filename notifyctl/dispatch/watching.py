"""What people are told of when a condition of the system begins or ends: by a command of theirs, once for each change.

Whoever looks first writes down what is told, and then tells it: a command that fails, and one that was not begun before
its dispatcher died, is not run again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
from pathlib import Path

from notifyctl.core.conditions import LOOK_MS, ConditionNews
from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable
from notifyctl.core.text import one_line
from notifyctl.core.webhook.telling import moment
from notifyctl.dispatch.chores import END_S
from notifyctl.dispatch.commands import tell_command
from notifyctl.dispatch.notices import Say
from notifyctl.dispatch.options import ChangeCommand
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import conditions

log = logging.getLogger(__name__)

LOOK_S = LOOK_MS / 1_000
TIMEOUT_S = 10.0
"""How long the command may take."""


class Watching:
    """Looks at the conditions of the system for the others, too, and tells what changed."""

    def __init__(self, threads: StoreThreads, command: ChangeCommand, say: Say) -> None:
        self._threads = threads
        self._command = command
        self._say = say

    async def look(self) -> None:
        """Look, where it is time to; tell what changed, and return when that is told.

        It is not broken off: nobody else would tell what it wrote down. Whoever ends the chores does not wait for long.
        """
        looking = asyncio.ensure_future(self._look(anyway=False))
        try:
            await asyncio.shield(looking)
        except asyncio.CancelledError:
            await asyncio.gather(looking, return_exceptions=True)
            raise

    async def look_last(self) -> None:
        """Look once more at the end of a run, whenever the last look was; wait a moment for what is told."""
        try:
            await asyncio.wait_for(self._look(anyway=True), END_S)
        except (TimeoutError, DatabaseUnavailable, CommitUnknown):
            return
        except Exception:  # whatever it is, the run has done what it is for
            log.warning("nobody looked at the end for what on_change is told", exc_info=True)

    async def _look(self, *, anyway: bool) -> None:
        number = await self._threads.write(lambda tx: conditions.take_turn(tx, anyway=anyway))
        if number is None:
            return
        seen = await self._threads.apart(lambda db: db.consult(conditions.seen))  # it counts, and sending goes on
        news = await self._threads.write(lambda tx: conditions.settle(tx, number, seen))
        remarks = await self._threads.apart(lambda _: [run(self._command, each) for each in news]) if news else []
        for remark in filter(None, remarks):
            self._say(remark)


def run(command: ChangeCommand, news: ConditionNews) -> str | None:
    """Run the command, with the news as JSON on its stdin; return what went wrong."""
    what = f"on_change ({news.of.condition} {news.of.subject}".rstrip() + f" {news.turn}): {Path(command.argv[0]).name}"
    try:
        tell_command(command.argv, document(command, news), command.environment, TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"{what} took longer than {TIMEOUT_S:.0f} s, and was ended"
    except subprocess.CalledProcessError as error:
        return f"{what} ended with {error.returncode}"
    except (OSError, ValueError) as error:
        return f"{what} was not run: {one_line(getattr(error, 'strerror', None) or str(error))}"
    return None


def document(command: ChangeCommand, news: ConditionNews) -> str:
    """Return what the command reads."""
    of = news.of
    said = {
        "condition": of.condition,
        "subject": of.subject or None,
        "state": news.turn.value,
        "since": moment(of.since),
        "text": of.text,
        "profile": command.profile,
        "host": socket.gethostname(),
    }
    return json.dumps(said, ensure_ascii=False)
