"""A sandbox in a thread of its own, as a fixture: the providers' side of every test that needs one."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notifyctl.sandbox import SandboxConfig, parse_rule, serve


@dataclass(frozen=True)
class Running:
    """A sandbox that is running."""

    url: str
    folder: Path

    @property
    def account(self) -> dict[str, Any]:
        """The service account it wrote."""
        return json.loads((self.folder / "account.json").read_text())

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]


@contextmanager
def started(folder: Path, *rules: str, fcm: bool = False, **settings: Any) -> Iterator[Running]:
    """Run a sandbox while the block runs; `fcm` makes the service account, which takes a moment."""
    config = SandboxConfig(
        rules=tuple(map(parse_rule, rules)),
        log=folder / "log.jsonl",
        service_account=folder / "account.json" if fcm else None,
        **settings,
    )
    handed: queue.Queue[str | BaseException] = queue.Queue()
    control: dict[str, Any] = {}

    async def main() -> None:
        control["loop"], control["task"] = asyncio.get_running_loop(), asyncio.current_task()
        await serve(config, handed.put)

    def run() -> None:
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # for whoever waits for the address
            handed.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        url = handed.get(timeout=20)
        if isinstance(url, BaseException):
            raise url
        yield Running(url, folder)
    finally:
        if "task" in control:
            with suppress(RuntimeError):  # it has ended by itself
                control["loop"].call_soon_threadsafe(control["task"].cancel)
        thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`with start_sandbox("twilio=429x2", seed=1) as sandbox: ...`"""
    return lambda *rules, **settings: started(tmp_path, *rules, **settings)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox with all providers and no faults, shared by the tests of a module."""
    with started(tmp_path_factory.mktemp("sandbox"), fcm=True) as running:
        yield running


@pytest.fixture(params=["asyncio", "uvloop"])
def loops(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make a loop of either kind that commands run on."""
    if request.param == "uvloop":
        return pytest.importorskip("uvloop").new_event_loop
    return asyncio.new_event_loop
