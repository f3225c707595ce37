"""What all options of a submission say together, on a command line or in a row of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core.content import VARIABLES, build, of_template
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel


def said(
    channel: Channel,
    *,
    template: str | None = None,
    subject: str | None = None,
    body: str | None = None,
    html: str | None = None,
    attachments: Sequence[Mapping[str, str]] = (),
    to: str | None = None,
    data: Mapping[str, Any],
    variables: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the payload that all options make together: of a template where one is named, else of texts.

    Raises UsageError as those do, for a text beside a template, and for variables without one.
    """
    if template is None:
        if variables:
            raise UsageError("--var goes with --template")
        return build(channel, subject=subject, body=body, html=html, attachments=attachments, to=to, data=data)
    if not subject is body is html is None:
        option = next(
            name for name, text in (("subject", subject), ("body", body), ("html-file", html)) if text is not None
        )
        raise UsageError(f"--{option}: the template says that", "--var K=V gives it its values")
    if VARIABLES not in data:
        return of_template(channel, variables, attachments=attachments, to=to, data=data)
    given = data[VARIABLES]
    if not isinstance(given, Mapping):
        raise UsageError("variables: must be an object", "--var name=Anna, or --var 'items:=[1, 2]'")
    if twice := sorted(given.keys() & variables.keys()):
        raise UsageError(f"--var: {twice[0]} is given twice", "give it once")
    rest = {key: value for key, value in data.items() if key != VARIABLES}
    return of_template(channel, {**given, **variables}, attachments=attachments, to=to, data=rest)


def stated_key(given: str, option: str) -> str:
    """Return an idempotency key that was given; raise UsageError, naming `option`, for one that says nothing."""
    if not given.strip():
        raise UsageError(f"{option}: the key is empty")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option}: holds bytes that are no text in UTF-8") from None
    return given
