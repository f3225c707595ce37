"""`completion`: scripts for shells; the same files are kept in `completions/`."""

from __future__ import annotations

from typing import Annotated

import typer

from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun, TextLeaf
from notifyctl.core.errors import UsageError

app = Noun("Completion scripts for shells.")

SHELLS = {"bash": "notifyctl.bash", "zsh": "_notifyctl", "fish": "notifyctl.fish", "powershell": "notifyctl.ps1"}


def script(shell: str) -> str:
    """Return the completion script for a shell of `SHELLS`."""
    from typer._completion_shared import get_completion_script

    return get_completion_script(prog_name="notifyctl", complete_var="_NOTIFYCTL_COMPLETE", shell=shell)


@app.command(cls=TextLeaf)
def show(ctx: typer.Context, shell: Annotated[str, typer.Argument(help=f"One of {', '.join(SHELLS)}.")]) -> None:
    """Print the completion script for a shell."""
    with invocation(ctx) as run:
        if shell not in SHELLS:
            raise UsageError(f"there is no completion for {shell!r}", f"one of {', '.join(SHELLS)}")
        run.out.write(script(shell))
