"""Commands whose stdout is a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from tests.support.command import Cli, Result


def on_terminal(
    cli: Cli,
    *args: str,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    interrupt_after: Callable[[str], bool] | None = None,
    timeout: float = 60,
) -> Result:
    """Run a command with stdout and stderr on a terminal; both are in `stdout` of the result, as they were written.

    Where `interrupt_after` says yes to what was shown so far, Ctrl-C is pressed.
    """
    person, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        cli.command(*args),
        env={**cli.env, "TERM": "xterm", **(env or {})},
        cwd=cli.home,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    watchdog = threading.Timer(timeout, process.kill)
    watchdog.start()
    shown, interrupted = b"", False
    with suppress(OSError):  # what Linux says when the last writer is gone
        while chunk := os.read(person, 65_536):
            shown += chunk
            if interrupt_after and not interrupted and interrupt_after(shown.decode(errors="replace")):
                process.send_signal(signal.SIGINT)
                interrupted = True
    code = process.wait()
    watchdog.cancel()
    os.close(person)
    return Result(code, shown.decode().replace("\r\n", "\n"), "")
