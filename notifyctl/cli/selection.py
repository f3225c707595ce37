"""Acting on many: ids, ids on stdin, or a filter, whose matches are shown before they are acted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Generic, TypeVar

import typer

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.options import given
from notifyctl.cli.output import SHORT_ID, Field, FieldKind
from notifyctl.cli.stdin import stdin_words
from notifyctl.cli.stops import stopped
from notifyctl.core.errors import Conflict, NotifyctlError, PartlyDone, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.services import bulk
from notifyctl.services.bulk import Acted, Selection

Q = TypeVar("Q")

ResolveIds = Callable[[Any, Sequence[str]], Mapping[str, str | NotifyctlError]]
"""Return for each text the id that it means in the database, or why it means none."""

AT_ONCE = 10
"""So many ids on the command line need no agreement: who wrote them has seen them."""
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
        int | None,
        typer.Option("--expect", metavar="N", min=0, help="Do not ask if it is N of them; if not, do nothing."),
    ] = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="PROFILE", help="Agree for this protected profile.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done to which, and do nothing.")
    ] = False,
) -> None:
    """Declare the options that every act on many takes."""


_AGREEMENT = frozenset(("everything", "yes", "expect", "confirm", "dry_run"))


def filters(ctx: typer.Context) -> dict[str, Any]:
    """Return the filter options that were given."""
    return {name: value for name, value in given(ctx).items() if name not in _AGREEMENT}


@dataclass(frozen=True, slots=True)
class Many(Generic[Q]):
    """What an act on many needs: `verb` names it to the person who is asked.

    `resolve` finds in the database what ids mean, `survey` what ids are, `select` what a query catches, and `query`
    makes one of the filter options. `caution` is what else to say before it; of what `asks` says so, few ids on the
    command line are asked about as well, and the caution is said whatever was agreed to.
    """

    verb: str
    resolve: ResolveIds
    survey: Callable[[Any, Sequence[str]], Selection]
    select: Callable[[Any, Q], Selection]
    query: Callable[..., Q]
    caution: Callable[[Selection], str | None] = lambda _: None
    asks: Callable[[Selection], bool] | None = None
    one: str = "notification"
    several: str = "notifications"
    short_id: int = SHORT_ID

    def number(self, count: int) -> str:
        """Return so many of what it acts on, in words."""
        return f"{count:,} {self.one if count == 1 else self.several}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ids to act on, and the database to do it in: a rehearsal's with --dry-run, which stores nothing.

    `unknown` are ids that were named and do not exist.
    """

    db: Any
    ids: list[str]
    by_filter: bool
    unknown: list[Acted]
    dry: bool = False


def choose(run: Invocation, ctx: typer.Context, texts: Sequence[str] | None, many: Many[Q]) -> Chosen:
    """Return what to act on, agreed to.

    Raises UsageError without ids and filter, with both, and when nobody agrees; Conflict when it is not `--expect` of
    them.
    """
    options = given(ctx)
    by_filter = bool(options.get("everything") or filters(ctx))
    if options.get("everything") and filters(ctx):
        raise UsageError("--all and a filter exclude each other", "leave --all away: the filter says which")
    if by_filter == bool(texts):
        what = "ids and a filter exclude each other" if by_filter else f"nothing says what to {many.verb}"
        raise UsageError(what, "name ids, - for ids on stdin, a filter, or --all")
    if not by_filter:
        return _named(run, texts or (), many, options)
    return caught(run, ctx, many.query(**filters(ctx)), many)


def caught(run: Invocation, ctx: typer.Context, query: Q, many: Many[Q]) -> Chosen:
    """Return what a query catches, agreed to. Raises as `choose` does."""
    options, db = given(ctx), run.system.db
    dry = bool(options.get("dry_run"))
    selection = many.select(db, query)
    _expect(len(selection.ids), options.get("expect"))
    _agree(run, selection, many, options)
    return Chosen(db.rehearsal() if dry else db, list(selection.ids), by_filter=True, unknown=[], dry=dry)


def finish(
    run: Invocation,
    chosen: Chosen,
    acted: Sequence[Acted],
    fields: Sequence[Field] = FIELDS,
    id_name: str = "id",
    *,
    to_send: bool = False,
) -> None:
    """Write one line for each id, and one for all. Raises PartlyDone if some failed, their own error if all did.

    `to_send`: what was done waits for a dispatcher now, and a person is told where there is none.
    """
    everything = [*(_rehearsed(acted) if chosen.dry else acted), *chosen.unknown]
    done = [each for each in everything if each.done]
    # Ids are piped into the next command: only those for which it makes sense.
    run.out.records(done if run.out.form == "id" else everything, fields, id_name="id" if chosen.dry else id_name)
    failures = [each.error for each in everything if each.error is not None]
    if not failures and (everything or chosen.by_filter):  # a pipe without ids stays silent
        run.out.say(_summary(everything, dry=chosen.dry))
    if to_send and done:
        _say_what_stops(run, done, dry=chosen.dry)
        _say_what_holds(run, [each.new_id or each.id for each in done])
    if to_send and done and not chosen.dry:
        run.say_who_sends()
    if not failures:
        return
    first, refusal = failures[0], next((error.refusal for error in failures if error.refusal is not None), None)
    if len(failures) == len(everything) and len({error.exit_code for error in failures}) == 1:
        others = f" (and {len(failures) - 1:,} more)" if len(failures) > 1 else ""
        raise type(first)(f"{first.message}{others}", first.hint).noting(refusal)
    could = "could be" if chosen.dry else "were"
    raise PartlyDone(
        f"{len(done):,} of {len(everything):,} {could} done; the first that failed: {first.message}", first.hint
    ).noting(refusal)


def _say_what_stops(run: Invocation, done: Sequence[Acted], *, dry: bool) -> None:
    """Say what rules make of what is to be sent: of one as `send` says it, of many how many."""
    if len(done) == 1 and done[0].remark is not None:
        run.out.say(f"warning: {done[0].remark}")
        return
    stands = [each.stands for each in done if each.stands is not None]
    if not stands:
        return
    from notifyctl.services.rowfiles.tallying import StopTally  # few are stopped

    tally = StopTally()
    for each in stands:
        tally.stop(each)
    run.out.say("\n".join(stopped(tally, dry=dry)))


def _say_what_holds(run: Invocation, ids: Sequence[str]) -> None:
    """Say what keeps back what was to be let go; never at the cost of what was done."""
    from notifyctl.services.holding import holding

    with suppress(NotifyctlError):
        for each in holding(run.system.db, ids):
            waits = "waits" if each.count == 1 else "wait"
            run.out.say(f"{each.count:,} {waits}: {each.why}; {each.remedy}")


def _rehearsed(acted: Sequence[Acted]) -> list[Acted]:
    return [replace(each, result=f"would be {each.result}", new_id=None) if each.done else each for each in acted]


def _summary(everything: Sequence[Acted], *, dry: bool) -> str:
    if not everything:
        return "nothing matches; nothing was done"
    counts = Counter(each.result for each in everything)
    told = ", ".join(f"{count:,} {result}" for result, count in counts.most_common())
    return f"{told}; nothing was done" if dry else told


def read_ids(texts: Sequence[str]) -> list[str]:
    """Return the ids that were named, or with - those of stdin, each once."""
    if "-" not in texts:
        return list(dict.fromkeys(texts))
    if len(texts) > 1:
        raise UsageError("- excludes ids on the command line", "put all of them on stdin")
    return list(dict.fromkeys(stdin_words("ids: ")))


def _named(run: Invocation, words: Sequence[str], many: Many[Q], options: dict[str, Any]) -> Chosen:
    db, dry, texts = run.system.db, bool(options.get("dry_run")), read_ids(words)
    known = many.resolve(db, texts) if texts else {}
    ids = list(dict.fromkeys(id_ for id_ in known.values() if isinstance(id_, str)))
    unknown = [bulk.failed(text, error) for text, error in known.items() if isinstance(error, NotifyctlError)]
    _expect(len(ids) + len(unknown), options.get("expect"))
    many_of_them = "-" in words or len(ids) > AT_ONCE or dry
    if many_of_them or many.asks is not None:
        selection = many.survey(db, ids)
        if many_of_them or (many.asks is not None and many.asks(selection)):
            _agree(run, selection, many, options)
    return Chosen(db.rehearsal() if dry else db, ids, by_filter=False, unknown=unknown, dry=dry)


def _expect(count: int, expected: int | None) -> None:
    if expected is not None and count != expected:
        raise Conflict(f"it is {count:,} and not {expected:,}; nothing was done", "look at the list and repeat")


def _agree(run: Invocation, selection: Selection, many: Many[Any], options: dict[str, Any]) -> None:
    count = len(selection.ids)
    if not count:
        return
    # Who says how many there are has counted them.
    yes, confirm = bool(options.get("yes")) or options.get("expect") is not None, options.get("confirm")
    dry = bool(options.get("dry_run"))
    shown = run.may_ask or dry or not (yes or confirm)
    if shown:
        run.out.say(described(run, selection, many))
    # What is asked about even of one id is said as well to whoever has agreed beforehand.
    if (shown or many.asks is not None) and (caution := many.caution(selection)):
        run.out.say(caution)
    if dry:
        return
    typed = str(count) if count > TYPED_FROM else None
    run.confirm(f"{many.verb.capitalize()} {many.number(count)}?", yes=yes, confirm=confirm, typed=typed, count=count)


def described(run: Invocation, selection: Selection, many: Many[Any]) -> str:
    """Return what a filter caught, for the person who is to agree."""
    people = f"{selection.people:,} {'person' if selection.people == 1 else 'people'}"
    lines = [f"{many.verb} {many.number(len(selection.ids))} of {people}"]
    lines += [f"  {name:<9} {_parts(counts)}" for name, counts in selection.split.items()]
    lines += [f"  oldest    {run.out.time(selection.oldest)}", f"  newest    {run.out.time(selection.newest)}"]
    for sample in selection.samples:
        row = (sample.id[: many.short_id], sample.username, sample.channel, sample.provider, sample.reason)
        lines.append(f"  such as   {'  '.join(row)}")
    return "\n".join(lines)


def _parts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN_PARTS]]
    rest = sum(list(counts.values())[SHOWN_PARTS:])
    return ", ".join([*shown, f"others {rest:,}"] if rest else shown)
