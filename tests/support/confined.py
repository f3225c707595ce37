"""Commands that run with less than the test has: no file above a size, no root's right to pass over permissions."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.command import Cli, Result

_FILE_SIZE = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER leave the bounding set, and so what root has after exec.
_UNPRIVILEGED = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); "
    "failed = os.getuid() == 0 and any(libc.prctl(24, cap, 0, 0, 0) for cap in (1, 2, 3)); "
    "failed and sys.exit('root cannot give up its rights here'); "
)
_EXEC = "os.execv(sys.argv[2], sys.argv[2:])"


def with_file_size(cli: Cli, most_bytes: int, *args: str) -> Result:
    """Run a command that cannot make a file longer than that: a disk that is full, for one process."""
    return _run(cli, _FILE_SIZE, str(most_bytes), *args)


def without_privileges(cli: Cli, *args: str) -> Result:
    """Run a command for which the permissions of files hold, whoever runs the tests."""
    return _run(cli, _UNPRIVILEGED, "", *args)


def _run(cli: Cli, before: str, value: str, *args: str) -> Result:
    command = [sys.executable, "-c", before + _EXEC, value, *cli.command(*args)]
    done = subprocess.run(command, env=cli.env, cwd=cli.home, capture_output=True, timeout=60, check=False)
    assert done.returncode >= 0, f"ended by signal {-done.returncode}"
    return Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
