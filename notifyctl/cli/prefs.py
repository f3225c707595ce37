"""`prefs`: what people want on each channel, and which categories they left."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import one_of
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.stdin import stdin_single_line
from notifyctl.cli.types import ChannelArgument, UserArgument
from notifyctl.core import zones
from notifyctl.core.cursor import Cursor
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.text import word
from notifyctl.services import explaining, preferences
from notifyctl.services.preferences import ChannelWishes, Left, Wish

app = Noun("What people want: which channels, how often, when not; and which categories they left.")

FIELDS = (
    Field("id", FieldKind.ID),
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("channel", title="CH"),
    Field("enabled", FieldKind.BOOL, "ENABLED"),
    Field("frequency_cap", FieldKind.NUMBER, "CAP A DAY"),
    Field("quiet_hours", title="QUIET HOURS"),
    Field("timezone", title="TIME ZONE"),
    Field("created_at", FieldKind.TIME),
    Field("updated_at", FieldKind.TIME),
    Field("unread_hours"),
    Field("unread_zone"),
)
_SHOWN = (*FIELDS, Field("left_categories", FieldKind.JSON))
_CHANGED = (*_SHOWN, Field("woken", FieldKind.NUMBER))
_LEFT = (
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("category", title="CATEGORY"),
    Field("left", FieldKind.BOOL, "LEFT"),
    Field("changed", FieldKind.BOOL),
    Field("woken", FieldKind.NUMBER),
)

_Category = Annotated[str, typer.Argument(metavar="CATEGORY", help="The category's name.")]
_OptionalChannel = Annotated[
    Channel | None, typer.Argument(metavar="[CHANNEL]", parser=one_of(Channel), help="email, sms or push.  [all]")
]


@app.command(scope=Scope.PREFS_READ, shows=_SHOWN)
def show(ctx: typer.Context, user: UserArgument) -> None:
    """Show what a user wants, on every channel, and which categories the user left."""
    with invocation(ctx) as run:
        found = preferences.of_user(run.system.db, user)
        run.out.records([each for each in found if each.id or run.out.form != "id"], _SHOWN)
        if found[0].left_categories:
            run.out.say(f"left: {', '.join(found[0].left_categories)}")
        for each in found:
            _say_unread(run, each)


@app.command("set", scope=Scope.PREFS_WRITE, shows=_CHANGED)
def set_(
    ctx: typer.Context,
    user: UserArgument,
    channel: ChannelArgument,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether anything is sent there.", show_default=False)
    ] = None,
    cap: Annotated[
        str | None, typer.Option("--cap", metavar="N|none", help="At most so many a day, of the user's days.")
    ] = None,
    quiet_hours: Annotated[
        str | None, typer.Option("--quiet", metavar="FROM-TO|none", help="Nothing then: 22:00-07:00, local time.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE|none", help="Where the user lives: Europe/London.")
    ] = None,
) -> None:
    """Change what a user wants on a channel; what the old rule put off is due again at once."""
    with invocation(ctx) as run:
        wish = Wish(enabled, cap, quiet_hours, timezone)
        done = preferences.change(run.system.db, user, channel, wish)
        run.out.record(done, _CHANGED, told=f"{done.channel} of {done.username}: {_in_words(done)}")
        _say_woken(run, done.woken)
        _say_unread(run, done)
        if (hours := explaining.never_reached(run.system.db, done.user_id, channel, run.settings.policy)) is not None:
            run.out.say(
                f"warning: no marketing can ever reach {done.username} on {channel}: no moment keeps to {hours}"
            )


@app.command(scope=Scope.PREFS_WRITE, shows=_CHANGED)
def clear(ctx: typer.Context, user: UserArgument, channel: _OptionalChannel = None) -> None:
    """Forget what a user wants, on a channel or on all; categories that were left stay so."""
    with invocation(ctx) as run:
        done = preferences.clear(run.system.db, user, channel)
        run.out.records([each for each in done if run.out.form != "id"], _CHANGED)
        _say_woken(run, sum(each.woken for each in done))


@app.command("list", scope=Scope.PREFS_READ, shows=FIELDS)
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="This user's only.")] = None,
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help="This channel's only.")
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Only channels that are so.", show_default=False)
    ] = None,
    limit: listing.Limit = None,
    everything: listing.All = False,
    cursor: listing.After = None,
) -> None:
    """List what users said about channels, newest first."""
    with invocation(ctx) as run:
        paging, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = preferences.wanted(db, user, channel, enabled)
        found, count = partial(preferences.page, db, wanted), partial(preferences.count, db, wanted)
        listing.show(run, paging, found, FIELDS, count=count, position=_position)


@app.command("opt-out", scope=Scope.PREFS_WRITE, shows=_LEFT)
def opt_out(ctx: typer.Context, user: UserArgument, category: _Category) -> None:
    """Let a user leave a category: nothing of it is sent to them any more, on any channel."""
    with invocation(ctx) as run:
        done = preferences.leave(run.system.db, user, category)
        _tell(run, done, f"left {done.category}" if done.changed else "had left it already")


@app.command(scope=Scope.PREFS_WRITE, shows=_LEFT)
def unsubscribe(
    ctx: typer.Context,
    token: Annotated[
        str, typer.Argument(metavar="TOKEN|-", help="The token of the link in a mail; - reads it from stdin.")
    ],
) -> None:
    """Do what one click in a mail asks: its reader leaves the mail's category.

    For whatever answers the POST at `unsubscribe_url`. A second time changes nothing, and succeeds.
    """
    with invocation(ctx) as run:
        # Alone: of several, one that is done would be taken for all.
        given = stdin_single_line("").decode(errors="replace") if token == "-" else token  # noqa: S105 - a hyphen
        done = preferences.unsubscribe(run.system.db, run.system.keyring, given)
        _tell(run, done, f"left {done.category}" if done.changed else "had left it already")


@app.command("opt-in", scope=Scope.PREFS_WRITE, shows=_LEFT)
def opt_in(ctx: typer.Context, user: UserArgument, category: _Category) -> None:
    """Take back that a user left a category: nothing else does."""
    with invocation(ctx) as run:
        done = preferences.come_back(run.system.db, user, category)
        _tell(run, done, f"is back in {done.category}" if done.changed else "had not left it")
        if (why := explaining.mail_is_suppressed(run.system.db, done.user_id, done.category)) is not None:
            run.out.say(f"warning: mail of it still does not go to {done.username}: the address is suppressed: {why}")
            run.out.say("hint: notifyctl suppressions remove email ADDRESS")


def _tell(run: Invocation, done: Left, words: str) -> None:
    run.out.record(done, _LEFT, id_name="user_id", told=f"{done.username} {words}")
    if not done.changed and not (run.out.on_terminal and run.out.asked_form is None):
        run.out.say(f"{done.username} {words}")
    _say_woken(run, done.woken)


def _in_words(done: ChannelWishes) -> str:
    words = ["on" if done.enabled else "off"]
    if done.frequency_cap is not None:
        words.append(f"at most {done.frequency_cap:,} a day")
    if done.quiet_hours is not None:
        words.append(f"quiet {done.quiet_hours}")
    words.append(done.timezone or "no time zone set")
    return ", ".join(words)


def _say_unread(run: Invocation, wishes: ChannelWishes) -> None:
    """Say what is stored that cannot be read, and so does not hold."""
    setting = f"notifyctl prefs set {word(wishes.username)} {wishes.channel}"
    for what, stored, instead, option in (
        ("quiet hours", wishes.unread_hours, "none hold", "--quiet 22:00-07:00"),
        ("zone", wishes.unread_zone, "another stands in", f"--timezone {zones.meant(wishes.unread_zone or '')}"),
    ):
        if stored is not None:
            run.out.say(f"warning: {wishes.channel}: the stored {what} {stored!r} cannot be read, {instead}")
            run.out.say(f"hint: {setting} {option}")


def _say_woken(run: Invocation, woken: int) -> None:
    if woken:
        run.out.say(f"{woken:,} deferred {'notification is' if woken == 1 else 'notifications are'} due again")


def _position(row: ChannelWishes) -> Cursor:
    assert row.id is not None  # noqa: S101 - what is listed was said
    assert row.created_at is not None  # noqa: S101
    return Cursor(row.created_at, row.id)
