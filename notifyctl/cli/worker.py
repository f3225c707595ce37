"""One dispatcher of several: `dispatch --processes` starts it as `python -m notifyctl.cli.worker`, nobody by hand.

Its order comes through stdin, which it then watches: when that closes, it drains and ends. What it has to tell goes to
its parent through stdout.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from notifyctl.cli.logs import configure
from notifyctl.cli.loops import loop_factory
from notifyctl.config import Settings
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.heed import heed
from notifyctl.core.private import without_rows
from notifyctl.core.scope import Scope
from notifyctl.dispatch.dispatcher import Dispatcher
from notifyctl.dispatch.memory import look_for_garbage_less_often
from notifyctl.dispatch.notices import Notice
from notifyctl.dispatch.supervisor import Farewell, WorkerOrder, packed, received
from notifyctl.wiring import System, make_dispatcher

TELL_S = 0.4
log = logging.getLogger(__name__)


class _Parent:
    """The parent as its worker sees it. Words go by a thread: a parent that stands still holds up nobody's work."""

    def __init__(self, pipe: int) -> None:
        self._pipe = os.fdopen(pipe, "wb", buffering=0)
        self._mouth = ThreadPoolExecutor(1, thread_name_prefix="parent")
        self._last: Future[None] | None = None

    def tell(self, message: object) -> None:
        """Say something that has to be heard."""
        self._last = self._mouth.submit(self._write, packed(message))

    def mention(self, message: object) -> None:
        """Say something that may be left out when the parent is slow to hear."""
        if self._last is None or self._last.done():
            self.tell(message)

    def close(self) -> None:
        """Wait until all was heard, and close the pipe."""
        self._mouth.shutdown(wait=True)
        self._pipe.close()

    def _write(self, words: bytes) -> None:
        with suppress(BrokenPipeError):  # the parent is gone; stdin says so, too
            while words:
                words = words[self._pipe.write(words) :]


def main() -> int:
    """Do what the order says and return the exit code; nothing is done without one."""
    parent = _Parent(os.dup(1))
    os.dup2(2, 1)  # whatever else prints must not garble what the parent reads
    try:
        order = received(sys.stdin.buffer)
        if isinstance(order, WorkerOrder):
            parent.tell(_work(order, parent))
    except Exception as error:
        log.debug("a defect", exc_info=True)
        parent.tell(Notice(f"unexpected {type(error).__name__}: {' '.join(without_rows(str(error)).split())[:200]}"))
        return 1
    finally:
        parent.close()
    return 0


def _work(order: WorkerOrder, parent: _Parent) -> Farewell:
    """Run the dispatcher to its end."""
    settings = Settings(order.database_url, log_format=order.log_format, log_level=order.log_level)
    configure(settings, lambda: order.keyring, debug=order.debug, verbose=order.verbose)
    gc.freeze()  # the modules are never garbage
    look_for_garbage_less_often()
    system = System(settings, Scope.DISPATCH_RUN)
    dispatcher = make_dispatcher(
        system.unchecked, order.keyring, order.options, operator=order.operator, notify=parent.tell
    )
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(dispatcher, parent))
    except NotifyctlError as error:
        return Farewell(dispatcher.tally, error)
    finally:
        system.close()
    return Farewell(dispatcher.tally)


async def _serve(dispatcher: Dispatcher, parent: _Parent) -> None:
    loop = asyncio.get_running_loop()

    def let_go() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            dispatcher.stop()

    loop.add_reader(0, let_go)
    # It was born with signals blocked. SIGINT and SIGHUP stay so: a person at the terminal means the parent.
    heed(signal.SIGTERM, dispatcher.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    telling = asyncio.create_task(_tell(dispatcher, parent))
    try:
        await dispatcher.run()
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(dispatcher: Dispatcher, parent: _Parent) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        parent.mention(dispatcher.tally)


if __name__ == "__main__":
    sys.exit(main())
