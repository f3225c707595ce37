"""`providers`: who delivers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifyctl.cli import timeline
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Leaf, Noun
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.prompt import hidden
from notifyctl.cli.secretfile import read_secret
from notifyctl.cli.types import Confirm, IfNotExists, Yes, duration, seconds
from notifyctl.config import contents
from notifyctl.core.errors import AnswerIsNo, NotAllowed, UsageError
from notifyctl.core.scope import Scope
from notifyctl.core.setting import setting
from notifyctl.services import credentials, providers
from notifyctl.services.credentials import Given

if TYPE_CHECKING:
    from notifyctl.services.checkups import Checkup

app = Noun("Who delivers: credentials, settings, pause and resume.")

LIST_FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("provider_name", title="PROVIDER"),
    Field("channel", title="CHANNEL"),
    Field("state", title="STATE"),
    Field("is_active", FieldKind.BOOL),
    Field("rate_limit", FieldKind.NUMBER, "/MIN"),
    Field("timeout_seconds", FieldKind.NUMBER),
    Field("priority", FieldKind.NUMBER, "PRIO"),
    Field("config", FieldKind.JSON),
    Field("paused_at", FieldKind.TIME, "SINCE"),
    Field("paused_until", FieldKind.TIME),
    Field("pause_reason", title="WHY"),
    Field("pause_cause"),
    Field("probe_at", FieldKind.TIME),
    Field("throttled_until", FieldKind.TIME),
    Field("ceiling", FieldKind.NUMBER),
    Field("held_senders", FieldKind.TIMES),
    Field("created_at", FieldKind.TIME),
    Field("updated_at", FieldKind.TIME),
)
FIELDS = (*LIST_FIELDS, Field("api_key"), Field("api_secret"), Field("service_account"))
_SHOWN = (*FIELDS, Field("receipts_unmatched", FieldKind.NUMBER), Field("timeline", FieldKind.JSON))
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))

CHECKUP_FIELDS = (
    Field("id", FieldKind.ID),
    Field("provider_name", title="PROVIDER"),
    Field("channel", title="CHANNEL"),
    Field("ok", FieldKind.BOOL),
    Field("result", title="RESULT"),
    Field("checked", title="CHECKED"),
    Field("problem"),
    Field("hint"),
    Field("duration_ms", FieldKind.NUMBER, "MS"),
)

_INT32 = 2**31 - 1

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name, or the id of its row.")]
_ApiKey = Annotated[str | None, typer.Option("--api-key", metavar="-|@FILE", help="The API key: stdin or a file.")]
_ApiSecret = Annotated[
    str | None, typer.Option("--api-secret", metavar="-|@FILE", help="The API secret: stdin (its next line) or a file.")
]
_Credentials = Annotated[
    Path | None, typer.Option("--credentials", metavar="FILE", help="fcm: the key file of a service account.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, see below; an empty value removes it."),
]
_RateLimit = Annotated[
    int | None,
    typer.Option("--rate-limit", metavar="N", min=0, max=_INT32, help="Requests a minute; no limit (0) unless set."),
]
_Timeout = Annotated[
    int | None,
    typer.Option(
        "--timeout", metavar="D", parser=seconds("--timeout", 300), help="Most time for a request.  [30s unless set]"
    ),
]
_Priority = Annotated[
    int | None,
    typer.Option("--priority", metavar="N", min=-_INT32, max=_INT32, help="Higher is preferred; 0 unless set."),
]


class _Setter(Leaf):
    """A verb that takes settings: its help ends with those that each provider has."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write them."""
        super().format_epilog(ctx, formatter)
        for name, settings in providers.settings().items():
            with formatter.section(f"Settings of {name} (--set)"):
                formatter.write_dl(list(settings.items()))


@app.command(scope=Scope.PROVIDERS_WRITE, cls=_Setter, shows=_CREATED)
def add(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="sendgrid, smtp, twilio, fcm, or another that is installed.")
    ],
    api_key: _ApiKey = None,
    api_secret: _ApiSecret = None,
    key_file: _Credentials = None,
    settings: _Set = None,
    rate_limit: _RateLimit = None,
    timeout: _Timeout = None,
    priority: _Priority = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Add a provider; its credentials are encrypted and never shown again."""
    with invocation(ctx) as run:
        providers.known(name)
        given = _given(run, api_key, api_secret, key_file, settings, rate_limit, timeout, priority)
        unsaid = given.api_key is None and given.service_account is None
        if unsaid and run.may_ask and providers.needs_key(name, given.settings):
            given = _asked(run, given)
        act = providers.ensure if if_not_exists else providers.add
        made = act(run.system.db, run.system.keyring, name, given)
        run.out.record(made, _CREATED, told=_in_words(made, "added" if made.created else "is there already"))
        _warn(run, providers.exposed(made, run.settings.provider_urls))


@app.command("list", scope=Scope.PROVIDERS_READ, shows=LIST_FIELDS)
def list_(ctx: typer.Context) -> None:
    """List the providers, newest first."""
    with invocation(ctx) as run:
        fields = [replace(each, show=partial(_why, run)) if each.title == "WHY" else each for each in LIST_FIELDS]
        run.out.records(providers.listed(run.system.db), fields)


def _why(run: Invocation, provider: providers.Provider) -> str:
    """Return for the table why it is not used, and until when; else what slows it down."""
    now = int(time.time() * 1_000)
    if (until := provider.throttled_until or provider.paused_until) is not None:
        when = f"until {run.out.clock(until, now)}" if until > now else "a probe is due"
        return f"{when}: {provider.pause_reason or '-'}"
    slow = [] if provider.ceiling is None else [f"{provider.ceiling:,} at once"]
    if held := len(provider.held_senders):
        slow.append(f"{held:,} sender{'' if held == 1 else 's'} held")
    return provider.pause_reason or ", ".join(slow) or "-"


@app.command(scope=Scope.PROVIDERS_READ, shows=_SHOWN)
def show(ctx: typer.Context, name: _Name) -> None:
    """Show a provider and what became of it lately; of its secrets only whether they are set."""
    with invocation(ctx) as run:
        found = providers.get(run.system.db, name)
        events = providers.timeline(run.system.db, found.id)
        if run.out.form != "table" or run.out.fields is not None:
            told = [timeline.entry(each) for each in events]
            run.out.record(SimpleNamespace(**asdict(found), timeline=told), _SHOWN)
            return
        run.out.record(found, FIELDS)
        run.out.write("")
        timeline.write(run, events)


@app.command(scope=Scope.PROVIDERS_WRITE, cls=_Setter, shows=FIELDS)
def update(
    ctx: typer.Context,
    name: _Name,
    api_key: _ApiKey = None,
    api_secret: _ApiSecret = None,
    key_file: _Credentials = None,
    settings: _Set = None,
    rate_limit: _RateLimit = None,
    timeout: _Timeout = None,
    priority: _Priority = None,
    resume: Annotated[bool, typer.Option("--resume", help="End its pause as well.")] = False,
    keep_credentials: Annotated[
        bool, typer.Option("--keep-credentials", help="An operator's word: the stored ones may go to the new address.")
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Only if they work: exit 7 else, and nothing changes.")] = False,
) -> None:
    """Change a provider's credentials or settings; running dispatchers take them up by themselves."""
    with invocation(ctx) as run:
        db = run.system.db
        given = _given(run, api_key, api_secret, key_file, settings, rate_limit, timeout, priority)
        given = replace(given, keep_credentials=keep_credentials)
        if test:
            from notifyctl.services import checkups

            checkups.require(db, run.system.keyring, run.settings.provider_urls, name, given)
        changed = providers.update(db, run.system.keyring, name, given)
        if resume:
            changed, cleared = providers.resume(db, name)
            _say_cleared(run, changed.provider_name, cleared)
        run.out.record(changed, FIELDS, told=_in_words(changed, "updated"))
        if changed.state == "paused":
            _say_still_paused(run, changed.provider_name, changed.pause_reason)
        _warn(run, providers.exposed(changed, run.settings.provider_urls))


@app.command(scope=Scope.PROVIDERS_WRITE, shows=FIELDS)
def enable(ctx: typer.Context, name: _Name) -> None:
    """Let a provider be used again."""
    with invocation(ctx) as run:
        done = providers.enable(run.system.db, name)
        run.out.record(done, FIELDS, told=_in_words(done, "enabled"))


@app.command(scope=Scope.PROVIDERS_WRITE, shows=FIELDS)
def disable(ctx: typer.Context, name: _Name) -> None:
    """Take a provider out of use; what waits for it stays pending. For a while only: pause."""
    with invocation(ctx) as run:
        done = providers.disable(run.system.db, name)
        run.out.record(done, FIELDS, told=_in_words(done, "disabled"))


@app.command(scope=Scope.PROVIDERS_WRITE, shows=FIELDS)
def delete(ctx: typer.Context, name: _Name, yes: Yes = False, confirm: Confirm = None) -> None:
    """Delete a provider and its credentials; notifications must not wait for it."""
    with invocation(ctx) as run:
        doomed = providers.refuse_removal(run.system.db, name)
        run.confirm(f"Delete provider {doomed.provider_name} and its credentials?", yes=yes, confirm=confirm)
        run.out.record(providers.remove(run.system.db, doomed.id), FIELDS)


@app.command(scope=Scope.PROVIDERS_WRITE, shows=FIELDS)
def pause(
    ctx: typer.Context,
    name: _Name,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="Why; status shows it.")],
    for_: Annotated[
        int | None,
        typer.Option("--for", metavar="DURATION", parser=duration, help="How long: 30m.  [until it is resumed]"),
    ] = None,
) -> None:
    """Hold what waits for a provider; submissions go on."""
    with invocation(ctx) as run:
        held = providers.pause(run.system.db, name, reason, for_)
        run.out.record(held, FIELDS, told=_in_words(held, "paused"))


@app.command(scope=Scope.PROVIDERS_WRITE, shows=FIELDS)
def resume(ctx: typer.Context, name: _Name) -> None:
    """End a provider's pause; a throttle and an open breaker too, and what they have counted."""
    with invocation(ctx) as run:
        provider, cleared = providers.resume(run.system.db, name)
        run.out.record(provider, FIELDS, told=_in_words(provider, "resumed"))
        _say_cleared(run, provider.provider_name, cleared)


@app.command(scope=Scope.PROVIDERS_WRITE, shows=CHECKUP_FIELDS)
def test(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Providers' names or ids; none: all active ones.")
    ] = None,
) -> None:
    """Check settings and credentials without sending anything; exit 7 unless all are well."""
    with invocation(ctx) as run:
        from notifyctl.services import checkups

        db, keyring = run.system.db, run.system.keyring
        found = checkups.examine(db, keyring, run.settings.provider_urls, names or ())
        run.out.records(found, CHECKUP_FIELDS)
        if not found:
            run.out.say("no provider is active: notifyctl providers add NAME")
        for each in found:
            _warn(run, each.exposed)
            if each.ok and each.paused:
                _say_still_paused(run, each.provider_name, each.paused)
        _raise_for([each for each in found if not each.ok], len(found), run)


def _say_cleared(run: Invocation, name: str, cleared: Sequence[str]) -> None:
    run.out.say(f"{name}: cleared {', '.join(cleared)}" if cleared else f"{name} was not paused")


def _in_words(provider: providers.Provider, did: str) -> str:
    state = "" if provider.state == did else f", {provider.state}"
    return f"provider {provider.provider_name} ({provider.channel or 'no channel'}) {did}{state}: {provider.id}"


def _say_still_paused(run: Invocation, name: str, reason: str | None) -> None:
    run.out.say(f"{name} stays paused ({reason}): notifyctl providers resume {name}")


def _warn(run: Invocation, warning: str | None) -> None:
    if warning:
        run.out.say(warning)


def _raise_for(bad: Sequence[Checkup], count: int, run: Invocation) -> None:
    """Say what is wrong with each; the exit code is 4 where a credential cannot be decrypted, else 7."""
    if not bad:
        return
    kind = NotAllowed if any(each.result == "unreadable" for each in bad) else AnswerIsNo
    if len(bad) == 1:
        raise kind(f"{bad[0].provider_name}: {bad[0].problem}", bad[0].hint)
    for each in bad if run.out.form == "table" else ():  # the other formats have it all
        run.out.say(f"{each.provider_name}: {each.problem}")
        if each.hint:
            run.out.say(f"hint: {each.hint}")
    raise kind(f"{len(bad)} of {count} providers do not work", "")


def _given(
    run: Invocation,
    api_key: str | None,
    api_secret: str | None,
    key_file: Path | None,
    settings: Sequence[str] | None,
    rate_limit: int | None,
    timeout: int | None,
    priority: int | None,
) -> Given:
    if api_key is not None and key_file is not None:
        raise UsageError("--api-key and --credentials exclude each other: the key file holds the key")
    chosen = _settings(settings or ())
    return Given(
        api_key=_secret(run, api_key, "--api-key"),
        api_secret=_secret(run, api_secret, "--api-secret"),
        service_account=None if key_file is None else _service_account(key_file),
        settings=chosen,
        rate_limit=rate_limit,
        timeout_seconds=timeout,
        priority=priority,
    )


def _secret(run: Invocation, source: str | None, option: str) -> str | None:
    if source is None:
        return None
    if source == "-" and run.may_ask:  # a person would see what is typed
        return hidden(run, option.removeprefix("--").replace("-", " "), "")
    return read_secret(source, option, may_be_empty=True)  # the adapter says whether it needs one


def _asked(run: Invocation, given: Given) -> Given:
    api_key = hidden(run, "API key (or the account's SID)", "--api-key - reads it from stdin")
    secret = given.api_secret or hidden(run, "API secret, empty for none", "") or None
    return Given(api_key, secret, None, given.settings, given.rate_limit, given.timeout_seconds, given.priority)


def _settings(pairs: Sequence[str]) -> dict[str, str | bool | None]:
    settings: dict[str, str | bool | None] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError("--set takes KEY=VALUE", "--set from=alerts@example.org")
        if key in settings:
            raise UsageError(f"--set: {key} is given twice", "give it once")
        settings[key] = setting(key, value)
    return settings


def _service_account(path: Path) -> dict[str, object]:
    try:
        text = contents(path, "--credentials: ").decode()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--credentials: {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
    return credentials.parse_service_account(text, str(path))
