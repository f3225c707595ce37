"""How a noun and its verbs are declared, with the options that every command takes.

A noun's module holds `app = Noun("What it is about.")` and its verbs `@app.command(scope=...)`: which scope an API key
needs for it, or OPEN. Global options may stand before the noun and after the verb; what stands later wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_params_convertors_ctx_param_name_from_function

from notifyctl.cli.blaming import name_options
from notifyctl.cli.repeated import OnceEach
from notifyctl.core.scope import Scope
from notifyctl.core.text import one_line

F = TypeVar("F", bound=Callable[..., Any])

Shown = Sequence[Any] | Callable[[], Sequence[Any]]
"""The `Field`s of what a verb prints; a function where they stand further below."""

GIVEN = "notifyctl.given"
REASON = "notifyctl.reason"
LONGEST_REASON = 500
FORMATS = ("table", "plain", "json", "yaml", "ndjson", "csv", "markdown", "id")
SECRET = "secret"  # noqa: S105 - a format
"""The format of verbs that show a secret once: nothing but it."""
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 160}
"""Help is as wide as the terminal, but no wider than can be read."""
_ALIASES = {"add": "create", "create": "add", "remove": "delete", "delete": "remove"}


def _format(value: str | None, command: Any) -> str | None:
    if value is not None and value not in _formats(command):
        raise typer.BadParameter(f"{value!r} is none of {', '.join(_formats(command))}", param_hint="-o")
    return value


def _formats(command: Any) -> tuple[str, ...]:
    """Return the formats that a verb has; before the noun stand those of any."""
    return getattr(command, "formats", (*FORMATS, SECRET))


def _globals(
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT",
        ),
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="Only these fields, in this order: as in JSON.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="CSV cells as they are, also what a spreadsheet would run.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but data and errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log at DEBUG, show tracebacks.")] = False,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of local time.")] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask.")] = False,
    profile: Annotated[str | None, typer.Option("--profile", metavar="NAME", help="A profile of the file.")] = None,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another configuration file.")] = None,
    database_url: Annotated[
        str | None, typer.Option("--database-url", metavar="URL", help="Another database; no password here.")
    ] = None,
) -> None:
    """Declare the options that every command takes."""


def _reason(
    audit_reason: Annotated[
        str | None,
        typer.Option("--reason", "--audit-reason", metavar="TEXT", help="Why, for the audit trail."),
    ] = None,
) -> None:
    """Declare the option of all commands that ask; where a filter is called --reason, by its longer name."""


def _reasons() -> list[Any]:
    params = params_of(_reason)
    for param in params:
        param.expose_value, param.callback = False, _remember_reason
    return params


def _remember_reason(ctx: Any, param: Any, value: str | None) -> str | None:
    if value is None:
        return None
    line = one_line(value, LONGEST_REASON)
    if not line:
        raise typer.BadParameter("the reason is empty", ctx, param)
    ctx.meta[REASON] = line
    return line


def _remember(ctx: Any, param: Any, value: Any) -> Any:
    if param.name == "output":
        value = _format(value, ctx.command)
    if param.name == "fields" and value is not None:
        value = _names(value)
    if value not in (None, False):
        ctx.meta.setdefault(GIVEN, {})[param.name] = value
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("it names no field", param_hint="--fields")
    return tuple(dict.fromkeys(names))


def _global_params(command: Any, *, hidden: bool) -> list[Any]:
    params = params_of(_globals)
    for param in params:
        param.expose_value = False
        param.callback = _remember
        param.hidden = hidden and param.name != "output"
        if param.name == "output":
            param.help = f"One of {', '.join(_formats(command))}."
    return params


def params_of(function: Callable[..., Any]) -> list[Any]:
    """Return the parameters that a function declares, for one command to have as its own."""
    return [copy(param) for param in _declared_by(function)]


@cache
def _declared_by(function: Callable[..., Any]) -> Sequence[Any]:
    # Once: each verb has them, and to read them of the signature takes longer than most verbs do.
    return get_params_convertors_ctx_param_name_from_function(function)[0]


def _beside(own: Sequence[Any], params: Sequence[Any]) -> Sequence[Any]:
    """Return the global options without the names that the verb has for its own: `prefs set --quiet 22:00-07:00`."""
    taken = {name for param in own for name in param.opts}
    for param in params:
        param.opts = [name for name in param.opts if name not in taken]
    return params


class Leaf(OnceEach, TyperCommand):
    """A verb: takes the global options as well."""

    formats: tuple[str, ...] = FORMATS
    shows: Shown = ()
    scope: Scope | None
    """Which scope an API key needs for it; None, for none, is declared as well (OPEN)."""

    def __init__(self, name: str | None, **attrs: Any) -> None:
        own = attrs.get("params") or []
        own = [*own, *_beside(own, _reasons() if any("--confirm" in param.opts for param in own) else [])]
        attrs["params"] = [*own, *_beside(own, _global_params(self, hidden=True))]
        name_options(attrs["params"])
        super().__init__(name, **attrs)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write an example, what is to be known of the values, and where the options of all commands stand."""
        _write_example(ctx, formatter, {param.metavar for param in self.params if param.metavar})
        formatter.write_paragraph()
        formatter.write_text("Every command also takes --profile, --utc and others: notifyctl --help.")

    def invoke(self, ctx: Any) -> Any:
        """Run it, unless a format or a field that it does not have was asked for."""
        given = ctx.meta.get(GIVEN, {})
        _format(given.get("output"), self)
        self._require_fields(ctx, given.get("fields"), given.get("output"))
        return super().invoke(ctx)

    def _require_fields(self, ctx: Any, wanted: tuple[str, ...] | None, form: str | None) -> None:
        if wanted is None:
            return
        if not {"json", "ndjson"} & {*self.formats} or form in ("id", SECRET):
            raise typer.BadParameter("there is nothing to choose from in what it prints", ctx, param_hint="--fields")
        names = self.field_names()
        if names and (unknown := [name for name in wanted if name not in names]):
            raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(names)}", ctx, param_hint="--fields")

    def field_names(self) -> tuple[str, ...]:
        """Return the names of the fields that it prints, as far as they are declared."""
        fields = self.shows() if callable(self.shows) else self.shows
        return tuple(dict.fromkeys(field.name for field in fields))


def _write_example(ctx: Any, formatter: Any, metavars: set[str]) -> None:
    from notifyctl.cli import examples

    _, _, path = ctx.command_path.partition(" ")
    if (line := examples.of(path)) is not None:
        with formatter.section("Example"):
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
    for text in examples.units(metavars):
        formatter.write_paragraph()
        formatter.write_text(text)


class SecretLeaf(Leaf):
    """A verb that shows a secret, once."""

    formats = (*FORMATS, SECRET)


class TextLeaf(Leaf):
    """A verb that prints a text, for which there is one format."""

    formats: tuple[str, ...] = ("plain",)


class Group(OnceEach, TyperGroup):
    """A noun: `add` and `create`, `remove` and `delete` mean the same."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the verb of that name, or of its alias."""
        return self.commands.get(cmd_name) or self.commands.get(_ALIASES.get(cmd_name, ""))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write an example, and what else there is to say."""
        _write_example(ctx, formatter, set())
        super().format_epilog(ctx, formatter)


class RootGroup(Group):
    """The outermost group takes the global options before the noun."""

    def __init__(self, **attrs: Any) -> None:
        attrs["params"] = [*(attrs.get("params") or []), *_global_params(self, hidden=False)]
        super().__init__(**attrs)


class Noun(typer.Typer):
    """A noun of the command line."""

    def __init__(self, help: str) -> None:
        super().__init__(
            cls=Group,
            help=help,
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            callback=_no_options,
            context_settings=CONTEXT,
        )

    def command(  # type: ignore[override]  # none without saying who may
        self, name: str | None = None, *, scope: Scope | None, shows: Shown = (), **attrs: Any
    ) -> Callable[[F], F]:
        """Declare a verb, and which scope an API key needs for it; OPEN where it works on no database.

        `shows` are the `Field`s of what it prints: then `--fields` is checked before it acts.
        """
        attrs["cls"] = _declared(attrs.get("cls", Leaf), scope, shows)
        attrs.setdefault("context_settings", CONTEXT)
        return super().command(name, **attrs)


def _declared(cls: type[Leaf], scope: Scope | None, fields: Shown) -> type[Leaf]:
    """Return the kind of verb that needs this scope, and whose records have these fields."""
    shows = staticmethod(fields) if callable(fields) else fields
    return type(cls.__name__, (cls,), {"scope": scope, "shows": shows})


def single(help: str, function: F, cls: type[Leaf] = Leaf, *, scope: Scope | None, shows: Shown = ()) -> typer.Typer:
    """Return the app of a top-level command without verbs; see `Noun.command`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(help=help, cls=_declared(cls, scope, shows), context_settings=CONTEXT)(function)
    return app


def _no_options() -> None:
    """Make it a group even with one verb."""
