"""How far a file is: a bar with rate and time left, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from notifyctl.cli.invocation import Invocation

if TYPE_CHECKING:
    from notifyctl.services.importing import RowTally
    from notifyctl.services.rowfiles.opening import RowFile


@contextmanager
def shown(run: Invocation, file: RowFile) -> Iterator[Callable[[RowTally], None]]:
    """Yield what is to be told how far the rows of a file are; a person at a terminal sees it."""
    import sys

    if run.out.quiet or not sys.stderr.isatty():
        yield lambda tally: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[rows]:,} rows"),
        BarColumn(None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,}/s"),
        TextColumn("{task.fields[rejected]}"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("", total=file.size, rows=0, rate=0, rejected="")

        def tell(tally: RowTally) -> None:
            rate = round(tally.read / max(0.001, time.monotonic() - began))
            bad = f"{tally.rejected:,} rejected" if tally.rejected else ""
            bar.update(task, completed=file.read(), rows=tally.read, rate=rate, rejected=bad)

        yield tell
