"""What all options of a submission say together, on a command line or in a row of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core import content
from notifyctl.core.content import VARIABLES
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
) -> tuple[dict[str, Any], str]:
    """Return the payload that all options make together: of a template where one is named, else of texts.

    With it comes what is stored of it (`content.written`). Raises UsageError as those do, for a text beside a template,
    and for variables without one.
    """
    if template is None:
        if variables:
            raise UsageError("--var goes with --template")
        payload = content.assembled(channel, subject, body, html, attachments, to, data)
        return payload, content.written(payload)
    if not subject is body is html is None:
        option = next(
            name for name, text in (("subject", subject), ("body", body), ("html-file", html)) if text is not None
        )
        raise UsageError(f"--{option}: the template says that", "--var K=V gives it its values")
    if VARIABLES in data:
        data, variables = _taken_out(data, variables)
    payload = content.assembled_of_template(channel, variables, attachments, to, data)
    return payload, content.written(payload)


def _taken_out(data: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the data without the variables in it, and all variables."""
    given = data[VARIABLES]
    if not isinstance(given, Mapping):
        raise UsageError("variables: must be an object", "--var name=Anna, or --var 'items:=[1, 2]'")
    if twice := sorted(given.keys() & variables.keys()):
        raise UsageError(f"--var: {twice[0]} is given twice", "give it once")
    return {key: value for key, value in data.items() if key != VARIABLES}, {**given, **variables}


def stated_key(given: str, option: str) -> str:
    """Return an idempotency key that was given; raise UsageError, naming `option`, for one that says nothing."""
    if not given.strip():
        raise UsageError(f"{option}: the key is empty")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option}: holds bytes that are no text in UTF-8") from None
    return given
