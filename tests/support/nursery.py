"""Processes that start in a twentieth of a second: forked off one that has imported everything already.

Each is a process of its own in every other respect: its signals, its threads, its death.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.reliability.worker", "tests.reliability.submitter", "notifyctl.cli.sandbox"])


def start(work: Callable[..., int], *args: object, env: Mapping[str, str], folder: Path, name: str) -> BaseProcess:
    """Run `work` with `args` in a process whose environment is `env`; its exit code is what it returns.

    What it writes is in `name.out` and `name.err` in `folder`.
    """
    process = _CONTEXT.Process(target=_run, args=(work, args, dict(env), str(folder / name)), daemon=True)
    process.start()
    return process


def _run(work: Callable[..., int], args: tuple[object, ...], env: dict[str, str], files: str) -> None:
    for number, ending in ((1, "out"), (2, "err")):
        file = os.open(f"{files}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(Path(files).parent)
    sys.exit(work(*args))
