"""Exports of any size need the same memory, and take a snapshot whose end nobody has to wait for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from notifyctl.cli.output import iso
from notifyctl.store.db.database import Database
from tests.reliability import history
from tests.reliability.sizes import Tell, sizes
from tests.support import seed
from tests.support.command import Cli

FLAT_KB = 16_000
"""By how much more rows may need more: what keeps memory for the next use has not got all of it with the few."""
LARGE, FEW_LARGE_KB = 2_000_000, 60_000
_RUN = """
import re, sys
from notifyctl.cli.app import main
code = main(sys.argv[1:])
assert code == 0, code
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def peak_kb(cli: Cli, *args: str) -> int:
    """Run a command as a process, and return how much memory it had at most."""
    command = [sys.executable, "-c", _RUN, *args]
    done = subprocess.run(command, env=cli.env, cwd=cli.home, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


SOME = 11_000
FORMS = ("csv", "ndjson", "parquet")
EVERY = [(noun, form) for noun in ("notifications", "dlq", "users") for form in FORMS]


@pytest.mark.slow
@sizes((25_000, [("notifications", "ndjson"), ("notifications", "parquet")]), (200_000, EVERY))
def test_memory_does_not_grow(
    cli: Cli, database: Database, size: tuple[int, list[tuple[str, str]]], tell: Tell
) -> None:
    """Of very many rows it is what it is of some, in each form."""
    many, exports = size
    history.write(database, 1, many)
    since = ("--since", iso(history.moment(SOME)))
    few = {form: peak_kb(cli, "notifications", "export", "-o", form, "--output", "few", *since) for _, form in exports}
    all_ = {each: peak_kb(cli, each[0], "export", "-o", each[1], "--output", "all") for each in exports}
    counts = {f"{noun} {form}": f"{few[form]:,} and {most:,} kB" for (noun, form), most in all_.items()}
    tell("22 exports stay flat", {"rows": many, **counts})
    assert not {each: (few[each[1]], most) for each, most in all_.items() if most > few[each[1]] + FLAT_KB}


@pytest.mark.slow
@sizes((30, ("ndjson", "parquet")), (200, FORMS))
def test_large_messages_are_few_at_a_time(cli: Cli, database: Database, size: tuple[int, tuple[str, ...]]) -> None:
    """Of two megabytes each: as much memory as a few of them need, whichever form it is."""
    many, forms = size
    seed.provider(database)
    anna = seed.user(database)
    for _ in range(many):
        seed.pending(database, anna, payload=json.dumps({"v": 1, "subject": "s", "html": "x" * LARGE}))
    for form in forms:
        few = peak_kb(cli, "users", "export", "-o", form, "--output", "few")
        all_ = peak_kb(cli, "notifications", "export", "-o", form, "--output", "all")
        assert all_ < few + FEW_LARGE_KB, (form, few, all_)
