"""`fixtures`: files that say what a database should hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from notifyctl.cli.fixture_files import read
from notifyctl.cli.fixture_secrets import FixtureSecrets
from notifyctl.cli.fixtures_shown import CHANGES, count_of, diff, shown, summary
from notifyctl.cli.invocation import Invocation, invocation, unconfigured
from notifyctl.cli.noun import Leaf, Noun, TextLeaf
from notifyctl.cli.options import given, taking
from notifyctl.cli.prompt import new_key
from notifyctl.core.errors import AnswerIsNo, Conflict, UsageError
from notifyctl.core.fixtures import kinds
from notifyctl.core.fixtures.changes import FixtureChange
from notifyctl.core.fixtures.reading import Fixture
from notifyctl.core.scope import OPEN, Scope

app = Noun("Files that say what a database should hold, for CI and tests.")

TYPED_FROM = 100
SHOWN_SAMPLES = 10
_SECTIONS = [each.name for each in kinds.KINDS if each.inside is None and each.dumped]


class SchemaLeaf(Leaf):
    """A verb that prints one JSON document."""

    formats: tuple[str, ...] = ("json", "yaml")


def _section(word: str) -> str:
    if word not in _SECTIONS:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(_SECTIONS)}")
    return word


def _completed_sections(incomplete: str) -> list[str]:
    return [each for each in _SECTIONS if each.startswith(incomplete)]


def _pruning(
    label: Annotated[
        str | None, typer.Option("--label", metavar="NAME", help="Whose things they are.  [the file's label:]")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what the label made and the file no longer has.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --prune.")] = False,
    expect: Annotated[
        int | None,
        typer.Option("--expect", metavar="N", min=0, help="Do not ask if it is N that --prune removes; if not, stop."),
    ] = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="PROFILE", help="Agree for this protected profile.")
    ] = None,
) -> None:
    """Declare whose things they are, and what is removed."""


@app.command(scope=Scope.FIXTURES_WRITE, cls=taking(_pruning), shows=CHANGES)
def apply(
    ctx: typer.Context,
    file: Annotated[
        list[str],
        typer.Option(
            "-f", "--file", metavar="FILE|DIR|-", help="YAML or JSON; a folder's files together; stdin. Repeatable."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: exit 7 when something would change.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="USER", help="Who makes templates.  [the API key's user, or the operator]"),
    ] = None,
) -> None:
    """Make the database hold what a fixture says: all of it, or nothing.

    Applied twice, it changes nothing. What the file does not have stays, unless --prune removes it.
    """
    if exit_code and not dry_run:
        raise UsageError("--exit-code is of --dry-run", "add --dry-run")
    with invocation(ctx) as run:
        from notifyctl.services.fixtures import applying

        db = run.system.db.rehearsal() if dry_run else run.system.db  # first of all: who may not use it learns nothing
        fixture, options = read(file), given(ctx)
        agree = partial(_agree, run, {**options, "dry": dry_run})
        pruning = applying.Pruning(_label(options.get("label"), fixture), bool(options.get("prune")), agree)
        done = applying.apply(db, fixture, _means(run, by, dry=dry_run), pruning)
        _show(run, done, dry=dry_run)
        if exit_code and done.changes:
            told = f"{count_of(len(done.changes), 'change')} would be made"
            raise AnswerIsNo(told, "without --dry-run they are made")


@app.command(scope=Scope.FIXTURES_READ, cls=TextLeaf)
def dump(
    ctx: typer.Context,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="SECTION",
            parser=_section,
            autocompletion=_completed_sections,
            help="Only this section; again for another.  [all]",
        ),
    ] = None,
) -> None:
    """Write what the database holds as a fixture, in YAML.

    Notifications are left out: what was sent must not be sent again.
    """
    with invocation(ctx) as run:
        from notifyctl.services.fixtures import dumping

        wanted = [each for each in dumping.sections() if not kind or each.name in kind]
        done = dumping.dump(run.system.db, wanted)
        run.out.write_exactly("".join(f"{line}\n" for line in done.lines))
        for each in done.remarks:
            run.out.say(each)


@app.command(scope=OPEN, cls=SchemaLeaf)
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of fixtures, for editors."""
    from notifyctl.core.fixtures.jsonschema import schema as made

    run = unconfigured(ctx)
    run.out.form = run.given.output or "json"
    run.out.document(made())


def _means(run: Invocation, by: str | None, *, dry: bool) -> Any:
    from notifyctl.services.fixtures.shelf import Means

    who = run.maker(by)
    secrets = FixtureSecrets(partial(new_key, run), dry=dry)
    return Means(who, secrets, lambda: run.system.keyring, lambda: _terms(run), lambda: run.settings.webhook_reach)


def _terms(run: Invocation) -> Any:
    from notifyctl.services.planning import SubmissionTerms

    return SubmissionTerms(run.settings.provider_urls, run.settings.policy, run.settings.unsubscribe_url)


def _label(option: str | None, fixture: Fixture) -> str | None:
    from notifyctl.core.names import label

    if option is None:
        return fixture.label
    named = label(option, "label")
    if fixture.label not in (None, named):
        raise UsageError(f"--label {named}: the file says label: {fixture.label}", "leave one of them away")
    return named


def _agree(run: Invocation, options: Mapping[str, Any], removed: Sequence[FixtureChange]) -> None:
    number, what, expect = len(removed), count_of(len(removed), "thing"), options.get("expect")
    if expect is not None and expect != number:
        raise Conflict(f"--prune would remove {number:,} and not {expect:,}; nothing was done", "look and repeat")
    if options["dry"]:
        return
    yes, confirm = bool(options.get("yes")) or expect is not None, options.get("confirm")
    if run.may_ask or not (yes or confirm):
        samples = [f"  {each.action} {each.name}" for each in removed[:SHOWN_SAMPLES]]
        more = [f"  and {number - SHOWN_SAMPLES:,} more"] if number > SHOWN_SAMPLES else []
        run.out.say("\n".join([f"--prune removes {what}", *samples, *more]))
    typed = str(number) if number > TYPED_FROM else None
    run.confirm(f"Remove {what}?", yes=yes, confirm=confirm, typed=typed, count=number)


def _show(run: Invocation, done: Any, *, dry: bool) -> None:
    if run.out.asked_form is None and run.out.fields is None:
        for each in done.changes:
            run.out.write_exactly(f"{diff(each)}\n")
    else:
        run.out.records([shown(each) for each in done.changes], CHANGES, id_name="id")
    for remark in done.remarks:
        run.out.say(remark)
    run.out.say(summary(done, dry=dry))
