"""`notifications explain`: why it is where it is, what comes next, and what the operator could do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import hearers
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.options import one_of
from notifyctl.cli.output import SHORT_ID, Field, FieldKind, escaped, iso
from notifyctl.cli.selection import read_ids
from notifyctl.core import when
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.explanation import Carrier, Explanation
from notifyctl.core.gate import PutOff, Refuse, Suppress, Verdict
from notifyctl.core.model import Channel
from notifyctl.core.walk import GateAnswer
from notifyctl.services import explaining
from notifyctl.services.explaining import Supposed

SHOWN = (
    Field("id", FieldKind.ID, "ID"),
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("message_type", title="CH"),
    Field("category"),
    Field("status"),
    Field("state", title="STATE"),
    Field("judged_at", FieldKind.TIME),
    Field("verdict"),
    Field("reason"),
    Field("until", FieldKind.TIME),
    Field("gates", FieldKind.JSON),
    Field("left_out", FieldKind.JSON),
    Field("provider", title="PROVIDER"),
    Field("hold"),
    Field("stand_in"),
    Field("attempt_count", FieldKind.NUMBER),
    Field("max_retries", FieldKind.NUMBER),
    Field("twins", FieldKind.JSON),
    Field("webhooks", FieldKind.JSON),
    Field("next", title="NEXT"),
    Field("next_at", FieldKind.TIME, "AT"),
    Field("remedy"),
    Field("remedies", FieldKind.JSON),
    Field("dispatched", FieldKind.BOOL),
    Field("tzdata"),
    Field("policy_differs", FieldKind.BOOL),
)
_SIGNS = {GateAnswer.OK: "✓", GateAnswer.OBJECTS: "✗", GateAnswer.NOT_ASKED: "·"}
_NAME, _WIDTH = 14, 80


def explain(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Ids, or their beginnings; - for stdin.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Ask of one to this user instead.")] = None,
    channel: Annotated[
        Channel | None,
        typer.Option("--channel", metavar="C", parser=one_of(Channel), help="On which channel it would be."),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="CATEGORY", help="What it would be about.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=f"When: {when.EXAMPLE}.  [now]")] = None,
    critical: Annotated[bool, typer.Option("--critical", help="Whether it would be critical.")] = False,
) -> None:
    """Say why notifications are where they are and what comes next, or what would become of one to USER.

    The gates are walked as the claim does, at this moment, and for a scheduled one at its own.
    """
    with invocation(ctx) as run:
        supposed = _supposed(user, channel, category, at, critical)
        db, policy = run.system.db, run.settings.policy
        if supposed is None and not ids:
            raise UsageError("neither an ID nor --user was given", "explain ID..., or --user USER --channel C")
        if supposed is not None and ids:
            raise UsageError("either an ID or --user, not both")
        if supposed is not None:
            _show(run, [explaining.suppose(db, supposed, policy)], several=False)
        else:
            asked = list(ids or ())
            several = len(asked) > 1 or asked == ["-"]
            _show(run, explaining.explain(db, read_ids(asked), policy, run.settings.on_unknown), several=several)


def _supposed(
    user: str | None, channel: Channel | None, category: str | None, at: str | None, critical: bool
) -> Supposed | None:
    if user is None:
        if channel is not None or category is not None or at is not None or critical:
            raise UsageError("--channel, --category, --at and --critical go with --user")
        return None
    if channel is None:
        raise UsageError("--user wants --channel", "email, sms or push")
    return Supposed(user, channel, category, None if at is None else when.moment(at, "--at"), critical)


def _show(run: Invocation, found: Sequence[Explanation], *, several: bool) -> None:
    if run.out.form == "table" and run.out.fields is None:
        for number, each in enumerate(found):
            run.out.write("\n".join([*([""] if number else []), *(escaped(line) for line in _screen(run, each))]))
        return
    rows = [_row(each) for each in found]
    if several:
        run.out.records(rows, SHOWN)
    else:
        run.out.record(rows[0], SHOWN)


def _row(found: Explanation) -> SimpleNamespace:
    verdict = _verdict(found)
    return SimpleNamespace(
        id=found.id,
        user_id=found.user_id,
        username=found.username,
        message_type=found.message_type,
        category=found.category,
        status=found.status,
        state=found.state,
        judged_at=found.at,
        verdict=_kind(verdict) if found.gates else None,
        reason=None if verdict is None else verdict.reason,
        until=verdict.until if isinstance(verdict, PutOff) else None,
        gates=[_gate(each) for each in found.gates],
        left_out=[each._asdict() for each in found.left_out],
        provider=found.carrier.name,
        hold=found.held[0].why if found.held else found.carrier.hold,
        stand_in=found.carrier.stand_in,
        attempt_count=found.attempt_count,
        max_retries=found.max_retries,
        twins=list(found.twins),
        webhooks=hearers.document(found.told),
        next=found.next.words,
        next_at=found.next.at,
        remedy=next(iter(found.next.remedies), None),
        remedies=list(found.next.remedies),
        dispatched=found.dispatched,
        tzdata=found.tzdata,
        policy_differs=found.policy_differs,
    )


def _verdict(found: Explanation) -> Verdict:
    return next((each.verdict for each in found.gates if each.verdict is not None), None)


def _kind(verdict: Verdict) -> str:
    match verdict:
        case PutOff():
            return "defer"
        case Suppress():
            return "cancel"
        case Refuse():
            return "fail"
    return "send"


def _gate(step: Any) -> dict[str, Any]:
    until = {"until": iso(step.verdict.until)} if isinstance(step.verdict, PutOff) else {}
    return {"gate": step.gate.value, "finding": step.finding.value, "words": step.words, **until}


def _screen(run: Invocation, found: Explanation) -> Iterator[str]:
    name = f"{'one' if found.id is None else found.id[:SHORT_ID]}  {found.message_type}  {found.username}"
    state = found.status if found.status == found.state else f"{found.status}, {found.state}"
    about = f"  {found.category}" if found.category else ""
    yield f"{name}{about}  {state}"
    if found.gates:
        yield ""
        for step in found.gates:
            yield from _lines(f"{_SIGNS[step.finding]} {step.gate.value}", step.words)
        for held in found.held:
            yield from _lines(f"{_SIGNS[GateAnswer.OBJECTS]} hold", held.why)
        sign = _SIGNS[GateAnswer.OK if found.carrier.sends else GateAnswer.OBJECTS]
        yield from _lines(f"{sign} provider", _provider(found.carrier))
    yield ""
    if found.gates and found.at != found.asked_at:
        yield from _lines("judged for", run.out.time(found.at))
    if found.id is not None:
        twins = ", ".join(each[:SHORT_ID] for each in found.twins) or "none"
        yield from _lines("attempts", f"{found.attempt_count} of {found.max_retries + 1}; twins: {twins}")
    for copy in found.left_out:
        yield from _lines("left out", f"{copy.field} {copy.address}: {copy.reason}")
    for one in found.told:
        yield from _lines("webhook", f"{one.webhook} ({one.host}) {hearers.words(run, one)}")
    yield from _lines("next", _next(run, found))
    for number, remedy in enumerate(found.next.remedies):
        yield f"{'or' if number == 0 else '':<{_NAME}}  {remedy}"
    if found.gates and not found.dispatched:
        yield from _lines("dispatch", "no dispatcher is running: notifyctl dispatch")
    if found.gates and found.policy_differs:
        yield from _lines("policy", "of this configuration; dispatchers go by another one: --config, --profile")
    yield f"{'time zones':<{_NAME}}  tzdata {found.tzdata}"


def _provider(carrier: Carrier) -> str:
    if carrier.name is None:
        return "none delivers on this channel"
    instead = f"; {carrier.stand_in} stands in" if carrier.stand_in else ""
    return f"{carrier.name} {carrier.hold or 'ok'}{instead}"


def _next(run: Invocation, found: Explanation) -> str:
    at = found.next.at
    if at is None:
        return found.next.words
    away = at - found.asked_at
    wait = f", in {show_ms(away)}" if away > 0 else ""
    return f"{run.out.time(at)}{wait}: {found.next.words}"


def _lines(name: str, words: str) -> list[str]:
    room = _WIDTH - _NAME - 2
    first, *rest = textwrap.wrap(words, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{name:<{_NAME}}  {first}".rstrip(), *(f"{'':<{_NAME}}  {each}" for each in rest)]
