"""`send`: submit one notification; `schedule` is the same with a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

import typer

from notifyctl.cli import files, sendfile, templatevars
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import single
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import SHORT_ID, Field, FieldKind, escaped_lines
from notifyctl.cli.sendfile import ESTIMATED, FileOrder, of_file
from notifyctl.cli.types import category_name, duration
from notifyctl.core import composition, content, when
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import State
from notifyctl.core.rowfile.drafting import RowDefaults
from notifyctl.core.scope import Scope
from notifyctl.core.segments import segments
from notifyctl.core.submission import MAX_RETRIES, MOST_RETRIES, Draft
from notifyctl.services import sending
from notifyctl.services.sending import Preview, Submitted

WAIT_MS = 60_000

FIELDS = (
    Field("id", FieldKind.ID),
    Field("user_id", FieldKind.ID),
    Field("username"),
    Field("message_type"),
    Field("provider"),
    Field("status"),
    Field("state"),
    Field("created_at", FieldKind.TIME),
    Field("send_at", FieldKind.TIME),
    Field("due_at", FieldKind.TIME),
    Field("expires_at", FieldKind.TIME),
    Field("sent_at", FieldKind.TIME),
    Field("category"),
    Field("is_critical", FieldKind.BOOL),
    Field("attempt_count", FieldKind.NUMBER),
    Field("max_retries", FieldKind.NUMBER),
    Field("error_message"),
    Field("provider_message_id"),
    Field("template"),
    Field("template_id", FieldKind.ID),
    Field("template_version", FieldKind.NUMBER),
    Field("deduplicated", FieldKind.BOOL),
)
_REQUEST = (Field("method"), Field("url"), Field("headers", FieldKind.JSON), Field("body"))

SHOWN = (*FIELDS, *_REQUEST)

_User = Annotated[str | None, typer.Argument(metavar="USER", help="Who receives it: id, username or e-mail address.")]
_Channel = Annotated[
    Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help="email, sms or push.")
]
_Subject = Annotated[str | None, typer.Option("--subject", metavar="S", help="Subject of a mail, title of a push.")]
_Body = Annotated[str | None, typer.Option("--body", metavar="B", help="The text.")]
_BodyFile = Annotated[
    str | None, typer.Option("--body-file", metavar="F", help="The text is in this file; - is stdin.")
]
_HtmlFile = Annotated[
    str | None, typer.Option("--html-file", metavar="F", help="The HTML of a mail is in this file; - is stdin.")
]
_Attach = Annotated[
    list[str] | None,
    typer.Option("--attach", metavar="F", help="Attach this file; repeatable. The HTML shows it as cid:NAME."),
]
_Template = Annotated[
    str | None,
    typer.Option("--template", metavar="T", help="What it says is in this template, as it is published now."),
]
_Var = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="K=V", help="A variable of the template, as text; K:=JSON as JSON. Repeatable."),
]
_Data = Annotated[
    str | None, typer.Option("--data", metavar="JSON", help="An object with further fields of the payload.")
]
_To = Annotated[
    str | None,
    typer.Option("--to", metavar="ADDRESS", help="This address, not one of the user's; a mail's also 'Name <a@b>'."),
]
_Provider = Annotated[
    str | None, typer.Option("--provider", metavar="P", help="This provider, not the channel's preferred one.")
]
_At = Annotated[str | None, typer.Option("--at", metavar="TIME", help=f"Not before: {when.EXAMPLE}.")]
_In = Annotated[int | None, typer.Option("--in", metavar="D", parser=duration, help="Not before so long from now.")]
_ExpiresIn = Annotated[
    int | None,
    typer.Option(
        "--expires-in", metavar="D", parser=duration, help="Not sent later than this after its time.  [never too late]"
    ),
]
_Category = Annotated[
    str | None, typer.Option("--category", metavar="CATEGORY", help="What it is about.  [as its template says]")
]
_Critical = Annotated[
    bool, typer.Option("--critical", help="Before all others, also in quiet hours and over the user's cap.")
]
_Key = Annotated[
    str | None, typer.Option("--idempotency-key", metavar="K", help="A repetition with the same key is stored once.")
]
_MaxRetries = Annotated[
    int, typer.Option("--max-retries", metavar="N", min=0, max=MOST_RETRIES, help="Attempts after the first.")
]
_DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show the request to the provider (of a file: what would become of its rows); store nothing."
    ),
]
_Wait = Annotated[bool, typer.Option("--wait", help="Wait until it was sent; exit 7 if it ends otherwise.")]
_Timeout = Annotated[
    int | None,
    typer.Option("--timeout", metavar="D", parser=duration, help="Wait at most so long, else exit 11.  [60s]"),
]


def submission(*, timed: bool) -> Callable[..., None]:
    """Return the command; with `timed` it insists on a time, and has no files."""
    needed: Any = ... if timed else None  # a file's rows have their own

    def submit(
        ctx: typer.Context,
        user: _User = needed,
        channel: _Channel = needed,
        subject: _Subject = None,
        body: _Body = None,
        body_file: _BodyFile = None,
        html_file: _HtmlFile = None,
        attach: _Attach = None,
        template: _Template = None,
        var: _Var = None,
        data: _Data = None,
        to: _To = None,
        provider: _Provider = None,
        at: _At = None,
        in_: _In = None,
        expires_in: _ExpiresIn = None,
        category: _Category = None,
        critical: _Critical = False,
        key: _Key = None,
        max_retries: _MaxRetries = MAX_RETRIES,
        dry_run: _DryRun = False,
        wait: _Wait = False,
        timeout: _Timeout = None,
    ) -> None:
        with invocation(ctx) as run:
            times = _times(at, in_, expires_in, timed=timed)
            told = _Told(subject, body, body_file, html_file, attach or [], to, data)
            how = _How(provider, max_retries, template, category_name(category), critical, var or [])
            of_one = {"USER": user, "--attach": attach, "--idempotency-key": key, "--wait": wait, "--timeout": timeout}
            if of_rows := _given_of_file(ctx, of_one):
                return _submit_file(run, of_rows, channel, told, times, how, dry_run=dry_run)
            draft = _draft(ctx, user, channel, told, _key(key), times, how)
            return _submit(run, draft, dry_run=dry_run, wait=wait, timeout=timeout)

    return submit


app = single(
    "Submit one notification, or with -f one for each row of a file. USER's own address is used unless --to names"
    " another; beside -f all options hold for the rows that do not say it themselves.",
    submission(timed=False),
    taking(of_file),
    scope=Scope.NOTIFICATIONS_SUBMIT,
    shows=(*SHOWN, *ESTIMATED),
)


class _Times(NamedTuple):
    """When it is for, as `Draft` has it."""

    send_at: int | None
    delay_ms: int | None
    expires_in_ms: int | None


class _How(NamedTuple):
    """What else the options say."""

    provider: str | None
    max_retries: int
    template: str | None
    category: str | None
    critical: bool
    var: Sequence[str]


def _given_of_file(ctx: typer.Context, of_one: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for a file, nothing where none was given.

    Raises UsageError for one without a file, and beside one for what only one notification can have.
    """
    found = {name: value for name, value in given(ctx).items() if value not in ([], ())}
    if found and "file" not in found:
        raise UsageError(f"--{next(iter(found))} goes with -f FILE")
    if found and (beside := next((name for name, value in of_one.items() if value), None)) is not None:
        raise UsageError(f"{beside} and -f exclude each other", _INSTEAD.get(beside))
    return found


_INSTEAD = {"USER": "in the file each row has its user", "--idempotency-key": "a column `key` has each row's own"}


def _draft(
    ctx: typer.Context,
    user: str | None,
    channel: Channel | None,
    told: _Told,
    key: str,
    times: _Times,
    how: _How,
) -> Draft:
    if user is None:
        raise UsageError("Missing argument 'USER', or -f FILE", f"{ctx.command_path} --help")
    if channel is None:
        raise UsageError("Missing option '--channel'", f"--channel {', '.join(Channel)}")
    payload, written = _content(channel, told, how.template, how.var)
    last = (how.max_retries, how.template, how.category, how.critical, written)
    return Draft(user, channel, payload, key, how.provider, times.send_at, times.delay_ms, times.expires_in_ms, *last)


def _submit_file(
    run: Invocation,
    asked: Mapping[str, Any],
    channel: Channel | None,
    told: _Told,
    times: _Times,
    how: _How,
    *,
    dry_run: bool,
) -> None:
    """Submit the rows of a file; what the options say holds for those that do not say it themselves."""
    _refuse_two_bodies(told.body, told.body_file, told.html_file)
    spread = "rate" in asked  # then --at and --in say when that begins
    defaults = RowDefaults(
        None,
        channel,
        how.template,
        told.subject,
        told.body if told.body_file is None else files.text(told.body_file, "--body-file"),
        None if told.html_file is None else files.text(told.html_file, "--html-file"),
        told.to,
        how.provider,
        how.category,
        None if spread else times.send_at,
        None if spread else times.delay_ms,
        times.expires_in_ms,
        how.max_retries,
        how.critical,
        content.parse_data(told.data) if told.data is not None else {},
        templatevars.pairs(how.var),
    )
    if "-" in (told.body_file, told.html_file) and asked["file"] == "-":
        raise UsageError("-f and --body-file or --html-file cannot both be stdin")
    sendfile.submit(run, FileOrder(**asked, defaults=defaults, dry_run=dry_run, begin=times[:2]))


def _times(at: str | None, in_: int | None, expires_in: int | None, *, timed: bool) -> _Times:
    if at is not None and in_ is not None:
        raise UsageError("--at and --in exclude each other")
    if timed and at is None and in_ is None:
        raise UsageError("schedule needs a time", f"--at {when.EXAMPLE} or --in 2h30m; send submits it at once")
    return _Times(None if at is None else when.moment(at, "--at"), in_, expires_in)


def _refuse_two_bodies(body: str | None, body_file: str | None, html_file: str | None) -> None:
    if body is not None and body_file is not None:
        raise UsageError("--body and --body-file exclude each other")
    if body_file == html_file == "-":
        raise UsageError("--body-file and --html-file cannot both be stdin")


class _Told(NamedTuple):
    """What the options say of the content."""

    subject: str | None
    body: str | None
    body_file: str | None
    html_file: str | None
    attach: Sequence[str]
    to: str | None
    data: str | None


def _content(channel: Channel, told: _Told, template: str | None, var: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return the payload that the options make, with the files that they name, and what is stored of it."""
    _refuse_two_bodies(told.body, told.body_file, told.html_file)
    if template is not None and told.body_file is not None:
        raise UsageError("--body-file: the template says that", "--var K=V gives it its values")
    page = None if told.html_file is None else files.text(told.html_file, "--html-file")
    attachments, html = files.attached(told.attach, page)
    return composition.said(
        channel,
        template=template,
        subject=told.subject,
        body=told.body if told.body_file is None else files.text(told.body_file, "--body-file"),
        html=html,
        attachments=attachments,
        to=told.to,
        data=content.parse_data(told.data) if told.data is not None else {},
        variables=templatevars.pairs(var),
    )


def _key(given: str | None) -> str:
    if given is None:
        # Random, but known: after an unknown COMMIT the submission can be repeated with it.
        return str(uuid.uuid4())
    return composition.stated_key(given, "--idempotency-key")


def _submit(run: Invocation, draft: Draft, *, dry_run: bool, wait: bool, timeout: int | None) -> None:
    if wait and dry_run:
        raise UsageError("--wait and --dry-run exclude each other")
    if timeout is not None and not wait:
        raise UsageError("--timeout goes with --wait")
    if dry_run:
        _show_request(run, draft)
        return
    run.out.require_fields(FIELDS)
    db = run.system.db
    settings = run.settings
    submitted = sending.submit(db, draft, settings.provider_urls, settings.policy, settings.unsubscribe_url)
    if submitted.remark:
        run.out.say(f"warning: {submitted.remark}")
    if not wait:
        run.out.record(_row(submitted), FIELDS, told=_in_words(run, submitted))
    if submitted.notification.status == Status.PENDING:
        run.say_who_sends()
    if not wait:
        return
    latest = submitted.notification
    try:
        latest = sending.wait(db, latest, WAIT_MS if timeout is None else timeout)
    finally:
        # Also when the person has had enough: the notification is stored, and this is its id.
        last = Submitted(latest, submitted.deduplicated)
        run.out.record(_row(last), FIELDS, told=_in_words(run, last))
    sending.require_sent(latest)


def _in_words(run: Invocation, submitted: Submitted) -> str:
    """Return one line that fits a terminal: the id is as tables show it, every command takes it so."""
    found = submitted.notification
    did = "there already" if submitted.deduplicated else "accepted"
    what = f"for {run.out.time(found.due_at)}" if found.state == State.SCHEDULED else found.state
    return f"{found.message_type} to {found.username} by {found.provider} {did}, {what}: {found.id[:SHORT_ID]}"


def _row(submitted: Submitted) -> SimpleNamespace:
    found = submitted.notification
    values: dict[str, Any] = {field.name: getattr(found, field.name) for field in fields(found)}
    return SimpleNamespace(**values, deduplicated=submitted.deduplicated)


def _show_request(run: Invocation, draft: Draft) -> None:
    settings, system = run.settings, run.system
    leave = settings.unsubscribe_url
    request = sending.preview(system.db, system.keyring, draft, settings.provider_urls, settings.policy, leave)
    if request.remark:
        run.out.say(f"warning: {request.remark}")
    if draft.channel is Channel.SMS and (body := request.content.get("body")) and not request.content.get("media"):
        run.out.say(str(segments(body)))
    if run.out.asked_form in (None, "table", "plain"):
        text = _as_http(request, request.content)
        run.out.write(escaped_lines(text) if run.out.on_terminal else text)
        return
    shown = SimpleNamespace(
        method=request.method, url=request.url, headers=dict(request.headers), body=request.body.decode()
    )
    run.out.record(shown, _REQUEST, id_name="url")


def _as_http(request: Preview, payload: Mapping[str, Any]) -> str:
    """Return the request to be read: whole, but for the files in it."""
    head = [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in request.headers.items())]
    if request.headers.get("Content-Type") == "message/rfc822":
        from notifyctl.cli.readable_mail import readable  # here: reading mails takes half of the e-mail package

        return "\n".join([*head, "", readable(request.body)])
    return "\n".join([*head, "", _shortened(request.body.decode(), payload.get("attachments") or [])])


def _shortened(body: str, attachments: Sequence[Mapping[str, Any]]) -> str:
    for each in attachments:
        body = body.replace(each["content"], files.shortened(each["content"]))
    return body
