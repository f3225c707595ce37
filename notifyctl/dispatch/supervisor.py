"""Several dispatchers as processes under one parent: one command, one report, one exit code.

A worker's stdin is its leash: its order comes through it, and when it closes the worker drains and ends, whether the
parent closed it or died. Its stdout brings back how far it is (a `Tally`), what it has to say (a `Notice`) and in the
end a `Farewell`. So nothing secret is in an argument vector, and nobody is orphaned.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import struct
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import field, replace
from enum import Enum, auto
from typing import IO

from notifyctl.core.duration import show_ms
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.notices import Notice, timed
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.tally import NOTICES_KEPT, Tally, hooks_summed, summed

LONGEST_WAIT_S = 60.0
SETTLED_S = 60.0
"""Who lived that long did not fall at its start: the wait for another begins anew."""
ECHO_S = 5.0
_SIZE = struct.Struct("!I")


# What goes through the pipes


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """All that a worker gets to know. It reads no settings: what the parent was told holds for all, and for long."""

    database_url: str = field(repr=False)
    keyring: Keyring
    operator: Actor
    options: DispatchOptions
    log_format: str
    log_level: str | None
    debug: bool
    verbose: bool


@dataclass(frozen=True, slots=True)
class Farewell:
    """A worker's last word: all that it did, and why it could not go on."""

    tally: Tally
    error: NotifyctlError | None = None


def packed(message: object) -> bytes:
    """Return a message as it goes through a pipe between a parent and its worker."""
    body = pickle.dumps(message)
    return _SIZE.pack(len(body)) + body


def received(stream: IO[bytes]) -> object | None:
    """Wait for one message from the parent and return it; None when the parent died before it had written it."""
    head = stream.read(_SIZE.size)
    body = stream.read(*_SIZE.unpack(head)) if len(head) == _SIZE.size else b""
    return pickle.loads(body) if body else None  # noqa: S301 - the pipe's other end is our parent


# What is decided


class ExitKind(Enum):
    """How a worker ended: it was done or told to go, it said why it cannot go on, or it died without a word."""

    LEFT = auto()
    FAILED = auto()
    DIED = auto()


class Sequel(Enum):
    """What the supervisor does after a worker's end: replace it, fail, or be done."""

    DONE = auto()
    FAIL = auto()
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class End:
    """A worker's end, and the error that it means, if any."""

    kind: ExitKind
    error: NotifyctlError


def sequel(kind: ExitKind, *, ending: bool, first: bool) -> Sequel:
    """Return what follows. `ending`: the run has an end of its own or was stopped; `first`: it replaced nobody.

    What the first ones say would have ended a single dispatcher, too. Those that took a dead one's place may well find
    the database away while the others ride that out.
    """
    if ending:
        return Sequel.DONE if kind is ExitKind.LEFT else Sequel.FAIL
    return Sequel.FAIL if kind is ExitKind.FAILED and first else Sequel.REPLACE


def shares(limit: int | None, processes: int) -> list[int | None]:
    """Return how many attempts each worker may make, a number for each; a small limit needs fewer workers."""
    if limit is None:
        return [None] * processes
    least, more = divmod(limit, processes)
    return [least + (number < more) for number in range(min(processes, limit))]


def wait_s(falls: int) -> float:
    """Return the seconds before another takes the place of a worker, after that many falls in a row."""
    return min(LONGEST_WAIT_S, 2.0 ** min(falls - 1, 16))


class Echo:
    """Tells what several workers say of the same event from what is new."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, float]] = {}

    def is_new(self, place: int, text: str, now: float) -> bool:
        """Return whether nobody else has said this in the last ECHO_S seconds; `now` is a monotonic moment."""
        self._heard = {each: heard for each, heard in self._heard.items() if now - heard[1] < ECHO_S}
        speaker, _ = self._heard.setdefault(text, (place, now))
        if speaker == place:
            self._heard[text] = (place, now)
        return speaker == place


# What is done


class Supervisor:
    """Runs `processes` dispatchers; `command` starts one that takes the order from its stdin.

    Like a dispatcher: make it, `await run()` it once; `stop()` ends it gently, `kill()` at once. `tally` is the sum of
    all workers; of one that was killed it lacks what came after its last message.
    """

    def __init__(
        self,
        processes: int,
        order: WorkerOrder,
        command: Sequence[str],
        *,
        notice: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self.options = order.options
        self._processes = processes
        self._order = order
        self._command = command
        self._notify = notice
        self._workers: list[subprocess.Popen[bytes]] = []
        self._tallies: dict[int, Tally] = {}
        self._past = Tally()
        self._notices: deque[str] = deque(maxlen=NOTICES_KEPT)
        self._echo = Echo()
        self._failure: NotifyctlError | None = None
        self._stopping = asyncio.Event()

    @property
    def tally(self) -> Tally:
        """What all workers have done so far."""
        every = [self._past, *self._tallies.values()]
        return Tally(summed(every), self._notices, sum(each.unrecorded for each in every), hooks_summed(every))

    def stop(self) -> None:
        """Let all workers drain and end."""
        self._stopping.set()
        for worker in self._workers:
            _let_go(worker)

    def kill(self) -> None:
        """End all workers now; what they had in flight is taken up when its leases end."""
        for worker in self._workers:
            worker.kill()

    async def run(self) -> None:
        """Keep the workers at work until they are done or told to stop.

        Raises what the first worker to fail said, or a NotifyctlError naming a worker that died where none can take
        its place: with `once` and `limit` nobody knows how much of the work was left.
        """
        timer = None
        if self.options.max_time_s is not None:
            timer = asyncio.get_running_loop().call_later(self.options.max_time_s, self.stop)
        every = enumerate(shares(self.options.limit, self._processes))
        await asyncio.gather(*(self._keep(place, share) for place, share in every))
        if timer is not None:
            timer.cancel()
        if self._failure is not None:
            raise self._failure

    async def _keep(self, place: int, share: int | None) -> None:
        """Have one dispatcher at work until the run ends, and another when it dies."""
        falls, first = 0, True
        bounded = self.options.once or share is not None
        order = packed(replace(self._order, options=replace(self.options, limit=share, max_time_s=None)))
        while not self._stopping.is_set():
            began = time.monotonic()
            end = await self._employ(place, order)
            match sequel(end.kind, ending=bounded or self._stopping.is_set(), first=first):
                case Sequel.DONE:
                    return
                case Sequel.FAIL:
                    self._failure = self._failure or end.error
                    self.stop()
                case Sequel.REPLACE:
                    falls = 1 if time.monotonic() - began >= SETTLED_S else falls + 1
                    wait, first = wait_s(falls), False
                    self._say(place, Notice(f"{end.error.message}; another starts in {show_ms(int(wait * 1_000))}"))
                    await self._pause(wait)

    async def _employ(self, place: int, order: bytes) -> End:
        """Run one worker to its end."""
        last = self._tallies.pop(place, Tally()).counts()
        ended = [self._past, last]
        unrecorded = self._past.unrecorded + last.unrecorded
        self._past = Tally(summed(ended), unrecorded=unrecorded, webhooks=hooks_summed(ended))
        try:
            worker = self._started(order)
        except OSError as error:
            return End(ExitKind.DIED, NotifyctlError(f"no dispatcher could be started: {error.strerror}"))
        farewell = None
        async for message in _messages(worker):
            match message:
                case Tally():
                    self._tallies[place] = message
                case Notice():
                    self._say(place, message)
                case Farewell():
                    farewell, self._tallies[place] = message, message.tally
        code = await asyncio.to_thread(worker.wait)
        self._workers.remove(worker)
        _let_go(worker)
        self._tallies.get(place, Tally()).rest()
        return _end(worker.pid, farewell, code)

    def _started(self, order: bytes) -> subprocess.Popen[bytes]:
        # A key pressed at the terminal, and its end, reach workers, too. Born deaf, they leave it to the parent.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            worker = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        self._workers.append(worker)
        if worker.stdin is not None:
            with suppress(BrokenPipeError):  # it died at once: its end says so
                worker.stdin.write(order)
                worker.stdin.flush()
        return worker

    def _say(self, place: int, notice: Notice) -> None:
        if self._echo.is_new(place, notice.text, time.monotonic()):
            self._notices.append(timed(notice.text))
            self._notify(notice)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _let_go(worker: subprocess.Popen[bytes]) -> None:
    if worker.stdin is not None:
        with suppress(BrokenPipeError):
            worker.stdin.close()


async def _messages(worker: subprocess.Popen[bytes]) -> AsyncIterator[object]:
    """Yield what a worker says, until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), worker.stdout)
    try:
        while True:
            (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
            yield pickle.loads(await reader.readexactly(size))  # noqa: S301 - the pipe's other end is our child
    except asyncio.IncompleteReadError:  # it ended, or died in the middle of a word
        return
    finally:
        pipe.close()


def _end(pid: int, farewell: Farewell | None, code: int) -> End:
    if farewell is not None and farewell.error is not None:
        return End(ExitKind.FAILED, farewell.error)
    if farewell is not None:
        return End(ExitKind.LEFT, NotifyctlError(f"dispatcher {pid} was told to end"))
    how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
    hint = "what it had in flight is taken up when its leases end"
    return End(ExitKind.DIED, NotifyctlError(f"dispatcher {pid} {how}", hint))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
