"""`config`: the settings in force, and where they come from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field
from notifyctl.config import SYSTEM_FILE, Settings, default_keys_file, shown_database_url, user_file
from notifyctl.core.audit.anchoring import AnchorTerms
from notifyctl.core.contact import CountryRules
from notifyctl.core.model import Channel, OnUnknown
from notifyctl.core.scope import OPEN
from notifyctl.core.webhook.target import PORTS

app = Noun("The settings in force, and where they come from.")


@dataclass(frozen=True)
class Setting:
    """One setting as it is shown."""

    name: str
    value: Any
    origin: str


_PLAIN = (Field("name", title="SETTING"), Field("value", title="VALUE"))
_WITH_ORIGIN = (*_PLAIN, Field("origin", title="FROM"))


@app.command(scope=OPEN, shows=_WITH_ORIGIN)
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
) -> None:
    """Show the settings in force; secrets are not shown."""
    with invocation(ctx) as run:
        run.out.records(
            _listed(run.settings), _WITH_ORIGIN if origin or run.out.fields is not None else _PLAIN, id_name="name"
        )


@app.command(scope=OPEN, shows=_PLAIN)
def path(ctx: typer.Context) -> None:
    """Show which files are read."""
    with invocation(ctx) as run:
        settings = run.settings
        rows = [
            Setting("user's configuration", _path(user_file()), _presence(user_file())),
            Setting("system's configuration", str(SYSTEM_FILE), _presence(SYSTEM_FILE)),
            Setting("encryption keys", _path(settings.encryption_keys_file or default_keys_file()), ""),
            Setting("database", shown_database_url(settings.database_url), ""),
        ]
        run.out.records(rows, _PLAIN, id_name="value")


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _presence(file: Path | None) -> str:
    return "present" if file is not None and file.is_file() else "absent"


def _listed(settings: Settings) -> list[Setting]:
    rows: list[Setting] = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if item.name == "origins":
            continue
        if isinstance(value, Mapping):
            rows += [
                Setting(f"{item.name}.{key}", _plain(inner), settings.origins.get(f"{item.name}.{key}", "default"))
                for key, inner in {**_defaults(item.name), **value}.items()
            ]
        else:
            rows.append(Setting(item.name, _shown(item.name, value), settings.origins.get(item.name, "default")))
    return rows


def _defaults(table: str) -> dict[str, Any]:
    """Return what is in force of a table where nobody says anything."""
    if table == "on_unknown":
        return dict.fromkeys(Channel, OnUnknown.RETRY)
    if table != "dispatch":
        return {}
    from notifyctl.dispatch.options import DispatchOptions  # of all commands this one and `dispatch` need it

    ours = DispatchOptions()
    times = {name: f"{getattr(ours, f'{name}_s'):.0f}s" for name in ("lease", "poll", "drain")}
    counts = {"concurrency": ours.concurrency, "batch_size": ours.batch_size, "processes": 1}
    return {**counts, **times, "bytes_in_flight": f"{ours.bytes_in_flight // 1_000_000}MB"}


def _plain(value: Any) -> Any:
    return value.table() if isinstance(value, CountryRules) else value


def _shown(name: str, value: Any) -> Any:
    if name in ("api_key", "encryption_keys") and value is not None:
        return "set, not shown"
    if name == "webhook_ports" and value is None:
        return sorted(PORTS)
    if name == "on_change" and value is not None:
        return shlex.join(value)
    if name == "database_url":
        return shown_database_url(value)
    return str(value) if isinstance(value, Path | AnchorTerms) else value
