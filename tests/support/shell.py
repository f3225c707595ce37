"""A shell in which `notifyctl` is the program under test, for commands as people type them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.command import Result


class Shell:
    """Runs lines of bash in a folder, with an environment of its own."""

    def __init__(self, folder: Path, tools: Path, env: Mapping[str, str] | None = None) -> None:
        tools.mkdir(exist_ok=True)
        program = tools / "notifyctl"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m notifyctl "$@"\n')
        program.chmod(0o755)
        self._folder = folder
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        self.env = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "TZ": "UTC", "COLUMNS": "80", **(env or {})}

    def run(self, line: str, timeout: float = 60) -> Result:
        """Run it to its end."""
        done = subprocess.run(self._command(line), text=True, timeout=timeout, check=False, **self._options())
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, line: str) -> subprocess.Popen[str]:
        """Start it as the leader of a process group; the test stops it."""
        return subprocess.Popen(self._command(line), text=True, start_new_session=True, **self._options())

    def _command(self, line: str) -> list[str]:
        return ["bash", "-e", "-o", "pipefail", "-c", line]

    def _options(self) -> dict[str, Any]:
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        return {"cwd": self._folder, "env": self.env, "stdin": subprocess.DEVNULL, **pipes}
