"""How long a command takes before it does anything, against what importing its libraries costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.timing import Pair, pair

TYPER = (sys.executable, "-c", "import typer")
TYPER_AND_SQLALCHEMY = (sys.executable, "-c", "import typer, sqlalchemy")
KEY = "k1:" + "QUJD" * 21 + "QQ=="


def measure(folder: Path, runs: int = 15) -> list[Pair]:
    """Return the pairs; `folder` holds the database and the home of the commands."""
    program = shutil.which("notifyctl", path=str(Path(sys.executable).parent)) or "notifyctl"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "NOTIFYCTL_DATABASE_URL": f"sqlite:///{folder / 'bench.db'}",
        "NOTIFYCTL_ENCRYPTION_KEYS": KEY,
    }
    _prepare(program, env)
    return [
        pair("notifyctl --help", [program, "--help"], TYPER, goal=1.3, env=env, runs=runs),
        pair("users list (SQLite)", [program, "users", "list"], TYPER_AND_SQLALCHEMY, goal=1.4, env=env, runs=runs),
        pair(
            "dispatch --once, nothing due",
            [program, "dispatch", "--once"],
            TYPER_AND_SQLALCHEMY,
            goal=1.8,
            env=env,
            runs=runs,
        ),
    ]


def _prepare(program: str, env: dict[str, str]) -> None:
    def run(*args: str, stdin: str | None = None) -> None:
        subprocess.run([program, *args], env=env, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)

    run("-q", "migrate", "up")
    run("users", "create", "anna", "--email", "anna@example.org")
    run("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.com", stdin="SG.bench")
