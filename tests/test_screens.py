"""The pictures of the README show what the commands draw today."""

from __future__ import annotations

import pytest

from tests.screens import COMMANDS, FOLDER, drawn, said
from tests.support.command import REPOSITORY


@pytest.fixture(scope="module")
def screens() -> dict[str, str]:
    """The screens as they would be drawn now."""
    return drawn()


@pytest.mark.parametrize("name", [*COMMANDS, "dispatch"])
def test_pictures_are_current(screens: dict[str, str], name: str) -> None:
    """What a kept picture says is what the command says of the same data; `make screens` draws them again."""
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert said(kept) == said(screens[name])
    assert len(said(kept)) > 10
    assert f"docs/screens/{name}.svg" in (REPOSITORY / "README.md").read_text()


def test_they_are_the_same_every_time(screens: dict[str, str]) -> None:
    """Drawn twice they are the same to the letter."""
    assert drawn() == screens
