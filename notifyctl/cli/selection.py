"""Acting on many: ids, ids on stdin, or a filter, whose matches are shown before they are acted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.options import given
from notifyctl.cli.output import SHORT_ID, Field, FieldKind
from notifyctl.cli.streams import stdin_words
from notifyctl.core.errors import Conflict, NotifyctlError, PartlyDone, UsageError
from notifyctl.services import bulk
from notifyctl.services.bulk import Acted, Selection

Q = TypeVar("Q")

ResolveIds = Callable[[Any, Sequence[str]], Mapping[str, str | NotifyctlError]]
"""Return for each text the id that it means in the database, or why it means none."""

TYPED_FROM = 100
SHOWN_PARTS = 6

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", help="Ids, or - for ids on stdin.", show_default=False)
]

FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("result", title="RESULT"),
    Field("detail", title="DETAIL"),
    Field("code"),
)
COPIES = (*FIELDS[:2], Field("new_id", FieldKind.ID, "COPY"), *FIELDS[2:])


def agreement(
    everything: Annotated[bool, typer.Option("--all", help="All of them, instead of ids or a filter.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    expect: Annotated[
        int | None, typer.Option("--expect", metavar="N", min=0, help="Do nothing unless it is N of them.")
    ] = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="PROFILE", help="Agree for this protected profile.")
    ] = None,
) -> None:
    """Declare the options that every act on many takes."""


_AGREEMENT = frozenset(("everything", "yes", "expect", "confirm"))


def filters(ctx: typer.Context) -> dict[str, Any]:
    """Return the filter options that were given."""
    return {name: value for name, value in given(ctx).items() if name not in _AGREEMENT}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ids to act on. `unknown` are those that were named and do not exist."""

    ids: list[str]
    by_filter: bool
    unknown: list[Acted]


def choose(
    run: Invocation,
    ctx: typer.Context,
    texts: Sequence[str] | None,
    verb: str,
    resolve: ResolveIds,
    select: Callable[[Any, Q], Selection],
    query: Callable[..., Q],
) -> Chosen:
    """Return what to act on, agreed to.

    `resolve` finds in the database what ids mean, `select` what a query catches, and `query` makes one of the filter
    options; `verb` names the act to the person who is asked. Raises UsageError without ids and filter, with both, and
    when nobody agrees; Conflict when it is not `--expect` of them.
    """
    options = given(ctx)
    by_filter = bool(options.get("everything") or filters(ctx))
    if options.get("everything") and filters(ctx):
        raise UsageError("--all and a filter exclude each other", "leave --all away: the filter says which")
    if by_filter == bool(texts):
        what = "ids and a filter exclude each other" if by_filter else f"nothing says what to {verb}"
        raise UsageError(what, "name ids, - for ids on stdin, a filter such as --user, or --all")
    if not by_filter:
        return _named(run, _read(texts or ()), resolve, options)
    selection = select(run.system.db, query(**filters(ctx)))
    _expect(len(selection.ids), options.get("expect"))
    _agree(run, selection, verb, options)
    return Chosen(list(selection.ids), by_filter=True, unknown=[])


def finish(
    run: Invocation, chosen: Chosen, acted: Sequence[Acted], fields: Sequence[Field] = FIELDS, id_name: str = "id"
) -> None:
    """Write one line for each id. Raises PartlyDone if some failed, their own error if all did."""
    everything = [*acted, *chosen.unknown]
    done = [each for each in everything if each.done]
    # Ids are piped into the next command: only those for which it makes sense.
    run.out.records(done if run.out.form == "id" else everything, fields, id_name=id_name)
    if chosen.by_filter and not everything:
        run.out.say("nothing matches; nothing was done")
    failures = [each.error for each in everything if each.error is not None]
    if not failures:
        return
    first = failures[0]
    if len(failures) == len(everything) and len({error.exit_code for error in failures}) == 1:
        others = f" (and {len(failures) - 1:,} more)" if len(failures) > 1 else ""
        raise type(first)(f"{first.message}{others}", first.hint)
    raise PartlyDone(
        f"{len(done):,} of {len(everything):,} were done; the first that failed: {first.message}", first.hint
    )


def _read(texts: Sequence[str]) -> list[str]:
    if "-" not in texts:
        return list(dict.fromkeys(texts))
    if len(texts) > 1:
        raise UsageError("- excludes ids on the command line", "put all of them on stdin")
    return list(dict.fromkeys(stdin_words("ids: ")))


def _named(run: Invocation, texts: Sequence[str], resolve: ResolveIds, options: dict[str, Any]) -> Chosen:
    known = resolve(run.system.db, texts) if texts else {}
    ids = list(dict.fromkeys(id_ for id_ in known.values() if isinstance(id_, str)))
    unknown = [bulk.failed(text, error) for text, error in known.items() if isinstance(error, NotifyctlError)]
    _expect(len(ids) + len(unknown), options.get("expect"))
    return Chosen(ids, by_filter=False, unknown=unknown)


def _expect(count: int, expected: int | None) -> None:
    if expected is not None and count != expected:
        raise Conflict(f"it is {count:,} and not {expected:,}; nothing was done", "look at the list and repeat")


def _agree(run: Invocation, selection: Selection, verb: str, options: dict[str, Any]) -> None:
    count = len(selection.ids)
    if not count:
        return
    yes, confirm = bool(options.get("yes")), options.get("confirm")
    if run.may_ask or not (yes or confirm):
        run.out.say(described(run, selection, verb))
    typed = str(count) if count > TYPED_FROM else None
    run.confirm(f"{verb.capitalize()} {_number(count)}?", yes=yes, confirm=confirm, typed=typed)


def described(run: Invocation, selection: Selection, verb: str) -> str:
    """Return what a filter caught, for the person who is to agree."""
    people = f"{selection.people:,} {'person' if selection.people == 1 else 'people'}"
    lines = [f"{verb} {_number(len(selection.ids))} of {people}"]
    lines += [f"  {name:<9} {_parts(counts)}" for name, counts in selection.split.items()]
    lines += [f"  oldest    {run.out.time(selection.oldest)}", f"  newest    {run.out.time(selection.newest)}"]
    for sample in selection.samples:
        row = (sample.id[:SHORT_ID], sample.username, sample.channel, sample.provider, sample.reason)
        lines.append(f"  such as   {'  '.join(row)}")
    return "\n".join(lines)


def _number(count: int) -> str:
    return f"{count:,} notification{'' if count == 1 else 's'}"


def _parts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN_PARTS]]
    rest = sum(list(counts.values())[SHOWN_PARTS:])
    return ", ".join([*shown, f"others {rest:,}"] if rest else shown)
