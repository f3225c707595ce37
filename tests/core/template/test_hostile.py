"""Templates that mean harm end soon and small, reach nothing, and leave the process alive."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.core.template.hostile import templates

pytestmark = pytest.mark.slow

SECONDS, OUTPUT, KILOBYTES = 0.5, 1_000_000, 50_000
_INSIDE = ("0x7", "<built-in", "object at", "minijinja", "Traceback", "site-packages", "<class", "dict_keys", "root:")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """Return what became of each template, each rendered in a child of another process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.template.hostile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {(found := json.loads(line))["name"]: found for line in done.stdout.splitlines()}


def test_every_one_was_tried_and_no_process_ended(outcomes: dict[str, dict[str, Any]]) -> None:
    """An abort or an overflow of the stack would end a dispatcher with all that it has in flight."""
    assert outcomes.keys() == templates().keys()
    assert [name for name, found in outcomes.items() if found["status"] != 0] == []


def test_each_is_bounded_in_time_output_and_memory(outcomes: dict[str, dict[str, Any]]) -> None:
    """The time is the processor's: how busy the machine is does not count."""
    assert {name: found["seconds"] for name, found in outcomes.items() if found["seconds"] > SECONDS} == {}
    assert {name: found["said"] for name, found in outcomes.items() if found["said"] > OUTPUT} == {}
    assert {name: found["kilobytes"] for name, found in outcomes.items() if found["kilobytes"] > KILOBYTES} == {}


def test_none_shows_what_is_inside(outcomes: dict[str, dict[str, Any]]) -> None:
    """Neither what is rendered nor the error tells of Python, of the engine or of this machine."""
    shown = {name: f"{found['failed']} {found['head']}" for name, found in outcomes.items()}
    assert {name: text for name, text in shown.items() if any(word in text for word in _INSIDE)} == {}
