"""Commands of the operator's that a dispatcher hands something over to."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


def tell_command(argv: Sequence[str], said: str, environment: Mapping[str, str], most_s: float) -> None:
    """Let a command have a line on stdin; no shell runs it. One that takes too long is ended with all that it started.

    Raises SubprocessError when it fails or takes too long, OSError and ValueError where it cannot be run.
    """
    with subprocess.Popen(  # noqa: S603 - what the profile names
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(environment),
        start_new_session=True,
    ) as process:
        try:
            process.communicate(f"{said}\n".encode(), timeout=most_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv[0])
