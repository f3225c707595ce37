"""What is shown once, when it is made, and never again."""

from __future__ import annotations

from notifyctl.cli.invocation import Invocation
from notifyctl.core.errors import UsageError


def refuse_losing(run: Invocation, name: str, secret_file: str | None) -> None:
    """Raise UsageError where a secret of that field's name would be shown to nobody; to be called before it is made."""
    if secret_file is not None or run.out.form == "secret":
        return
    if run.out.form == "id":
        how = "-o id"
    elif run.out.fields is not None and name not in run.out.fields:
        how = f"--fields without {name}"
    else:
        return
    raise UsageError(f"{how} would lose the {name}, which is shown only once", "add --secret-file F")
