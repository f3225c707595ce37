"""An earlier commit of notifyctl as a peer: exported from git into an environment of its own, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.benchmarks.program import Program

ROOT = Path(__file__).parents[2]
BASELINE = "6df74a0"
"""What a change of the hot path is judged against: the last commit before it was written anew."""


def obtain(commit: str) -> Program | str:
    """Return the program of that commit, or why there is none here."""
    full = _resolve(commit)
    if full is None:
        return f"{commit}: left out, there is no git repository with that commit here."
    folder = ROOT / f".venv-bench-{full[:12]}"
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing {commit} ...", file=sys.stderr)
        try:
            _install(full, folder)
        except subprocess.CalledProcessError as error:
            return f"{commit}: left out, it could not be installed: {error}"
        ready.touch()
    return Program(f"notifyctl {commit}", folder / "bin" / "python")


def _resolve(commit: str) -> str | None:
    """Return the commit's whole name; None where this is no working tree of git's (an sdist) or it is not known."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _install(commit: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    source, archive = folder / "source", folder / "source.tar"
    source.mkdir()
    subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), commit], check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(source)
    archive.unlink()
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, str(source)], check=True)
