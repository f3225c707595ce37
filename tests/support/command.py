"""The command line under test: as a process of its own, or quicker in this one."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notifyctl.cli.app import main

REPOSITORY = Path(__file__).resolve().parents[2]
WARNINGS_ONLY = {"NOTIFYCTL_LOG_LEVEL": "WARNING"}
"""The environment of a dispatcher that is to say nothing where all is well."""
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Return stdout, parsed."""
        return json.loads(self.stdout)

    def ok(self) -> Result:
        """Return itself; fail the test unless the exit code is 0."""
        assert self.exit_code == 0, f"exit code {self.exit_code}\nstdout: {self.stdout}\nstderr: {self.stderr}"
        return self


class Cli:
    """Runs `notifyctl` in an environment of its own: HOME is an empty folder, no NOTIFYCTL_ variable is inherited."""

    def __init__(self, home: Path, database_url: str | None) -> None:
        self.home = home
        self.env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.env |= {"HOME": str(home), "TZ": "UTC", "PYTHONWARNINGS": "error"}
        if database_url is not None:
            self.env["NOTIFYCTL_DATABASE_URL"] = database_url

    def run(
        self, *args: str, input: str | bytes | None = None, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> Result:
        """Run it as a process. `env` adds to the environment."""
        done = subprocess.run(
            self.command(*args),
            input=input.encode() if isinstance(input, str) else input or b"",
            env={**self.env, **(env or {})},
            cwd=self.home,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start it as a process that the test will stop. `options` are those of Popen; its streams are pipes."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            self.command(*args), env={**self.env, **(env or {})}, cwd=self.home, text=True, **{**streams, **options}
        )

    def type(self, *args: str, keys: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> Result:
        """Run it as a process for a person at a terminal who types `keys`; only stdout is a pipe.

        `stderr` is what the terminal shows, the keys' echo among it.
        """
        person, terminal = pty.openpty()
        try:
            process = self.start(*args, env=env, stdin=terminal, stderr=terminal)
        finally:
            os.close(terminal)
        os.write(person, keys.encode())
        shown: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(person, shown))
        reader.start()
        try:
            stdout, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
            reader.join()
            os.close(person)
        return Result(process.returncode, stdout, b"".join(shown).decode().replace("\r\n", "\n"))

    def command(self, *args: str) -> list[str]:
        """Return the argument vector that runs it."""
        return [sys.executable, "-m", "notifyctl", *args]

    def call(
        self,
        *args: str,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        closed_stdin: bool = False,
        stdout: io.TextIOWrapper | None = None,
    ) -> Result:
        """Run it in this process: a tenth of the time, everything the same but signals and terminals.

        `stdout`: what it writes to instead of the result's.
        """
        stdin = io.BytesIO(input.encode() if isinstance(input, str) else input or b"")
        written, stderr = io.BytesIO(), io.BytesIO()
        with (
            self._in_place({**self.env, **(env or {})}, None if closed_stdin else stdin),
            _text(written) as out,
            _text(stderr, errors="backslashreplace") as err,  # as Python's own
            redirect_stdout(stdout or out),
            redirect_stderr(err),
        ):
            exit_code = main(list(args))
        return Result(exit_code, written.getvalue().decode(), stderr.getvalue().decode())

    @contextmanager
    def _in_place(self, env: Mapping[str, str], stdin: io.BytesIO | None) -> Iterator[None]:
        environment, folder, terminal = dict(os.environ), Path.cwd(), sys.stdin
        log, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
        os.environ.clear()
        os.environ.update(env)
        os.chdir(self.home)
        sys.stdin = None if stdin is None else io.TextIOWrapper(stdin, encoding="utf-8")
        try:
            yield
        finally:
            log.handlers[:] = handlers
            log.setLevel(level)
            sys.stdin = terminal
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)


def _drain(terminal: int, into: list[bytes]) -> None:
    with suppress(OSError):  # what Linux says when the last writer is gone
        while chunk := os.read(terminal, 65_536):
            into.append(chunk)


@contextmanager
def _text(into: io.BytesIO, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
    stream = io.TextIOWrapper(into, encoding="utf-8", errors=errors, write_through=True, newline="")
    try:
        yield stream
    finally:
        stream.flush()
        stream.detach()  # or `into` would be closed with it
