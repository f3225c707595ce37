"""Notifications and dead letters shown whole: every field, what is in them, every attempt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from notifyctl.cli import attempts, files, hearers
from notifyctl.cli.invocation import Invocation
from notifyctl.cli.output import Field, FieldKind, escaped_lines
from notifyctl.core.json_codec import lenient


def show(
    run: Invocation, rows: Sequence[SimpleNamespace], fields: Sequence[Field], *, id_name: str, several: bool
) -> None:
    """Write the rows that were asked for: for a person one after the other, else a record, or records of `several`.

    A row has the `fields`, among them its `payload` (a text) and its `attempts` (as `attempts.past` returns them), and
    perhaps `told`: which webhooks were.
    `id_name` names the field that -o id prints.
    """
    if run.out.form == "table" and run.out.fields is None:
        for row in map(run.out.row, rows):
            _show_one(run, row, fields)
    elif not several:
        run.out.record(rows[0], fields, id_name=id_name)
    else:
        run.out.records(rows, fields, id_name=id_name)


def _show_one(run: Invocation, row: SimpleNamespace, fields: Sequence[Field]) -> None:
    filled = [
        field for field in fields if field.kind is not FieldKind.JSON and getattr(row, field.name) not in (None, "")
    ]
    run.out.record(row, filled)
    run.out.write(f"\n{escaped_lines(_readable(row.payload))}\n")
    if row.attempts:
        attempts.write(run, row.attempts)
    told = getattr(row, "told", ())
    for one in told:
        run.out.hanging("webhook ", f"{one.webhook} ({one.host})  {hearers.words(run, one)}")
    if row.attempts or told:
        run.out.write("")


def _readable(payload: str) -> str:
    """Return a payload indented, its files shortened; one that is no JSON as it is."""
    content = lenient(payload)
    return payload if content is None else json.dumps(_without_files(content), ensure_ascii=False, indent=2)


def _without_files(payload: Any) -> Any:
    attachments = payload.get("attachments") if isinstance(payload, dict) else None
    if not isinstance(attachments, list):
        return payload
    return payload | {"attachments": [_short(each) for each in attachments]}


def _short(attachment: Any) -> Any:
    encoded = attachment.get("content") if isinstance(attachment, dict) else None
    return attachment | {"content": files.shortened(encoded)} if isinstance(encoded, str) else attachment
