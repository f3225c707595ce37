"""`schedule`: `send` that insists on a time."""

from __future__ import annotations

from notifyctl.cli.noun import single
from notifyctl.cli.send import SHOWN, submission
from notifyctl.core.scope import Scope

app = single(
    "Submit one notification for later: send with --at or --in.",
    submission(timed=True),
    scope=Scope.NOTIFICATIONS_SUBMIT,
    shows=SHOWN,
)
