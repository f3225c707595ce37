"""One command line for each command, shown at the end of its help; a test reads each of them as the command would."""

from __future__ import annotations

EXAMPLES = {
    "migrate up": "notifyctl migrate up",
    "migrate down": "notifyctl migrate down base",
    "migrate status": "notifyctl migrate status -o json",
    "migrate history": "notifyctl migrate history",
    "migrate sql": "notifyctl migrate sql > schema.sql",
    "migrate check": "notifyctl migrate check",
    "users create": "notifyctl users create anna --email anna@example.org --language de-AT",
    "users list": "notifyctl users list --fields username,email -o csv",
    "users show": "notifyctl users show anna",
    "users update": "notifyctl users update anna --email anna@example.net",
    "users delete": "notifyctl users delete anna --cancel-pending",
    "users contacts add": "notifyctl users contacts add anna sms +14155552345",
    "users contacts list": "notifyctl users contacts list anna",
    "users contacts remove": "notifyctl users contacts remove anna sms +14155552345",
    "users contacts suppress": "notifyctl users contacts suppress anna sms +14155552345 --reason wrong",
    "users contacts unsuppress": "notifyctl users contacts unsuppress anna sms +14155552345",
    "keys create": "notifyctl keys create anna --name cron --expires-in 90d --secret-file cron.key",
    "keys list": "notifyctl keys list --user anna",
    "keys show": "notifyctl keys show 3f9c2a71",
    "keys revoke": "notifyctl keys revoke - < leaked-keys",
    "keys rotate": "notifyctl keys rotate 3f9c2a71 --overlap 1h --secret-file cron.key",
    "keys verify": "notifyctl keys verify < cron.key",
    "providers add": "notifyctl providers add sendgrid --api-key @key --set from=alerts@example.org",
    "providers list": "notifyctl providers list",
    "providers show": "notifyctl providers show sendgrid",
    "providers update": "notifyctl providers update sendgrid --api-key - --test < new-key",
    "providers enable": "notifyctl providers enable twilio",
    "providers disable": "notifyctl providers disable twilio",
    "providers delete": "notifyctl providers delete twilio",
    "providers pause": "notifyctl providers pause sendgrid --for 30m --reason 'incident 4711'",
    "providers resume": "notifyctl providers resume sendgrid",
    "providers test": "notifyctl providers test sendgrid twilio",
    "templates create": "notifyctl templates create pin --channel sms --body 'Code {{ code }}'",
    "templates list": "notifyctl templates list --channel email --state draft",
    "templates show": "notifyctl templates show welcome --version 2",
    "templates update": "notifyctl templates update welcome --variant de --subject 'Hallo {{ name }}'",
    "templates publish": "notifyctl templates publish welcome",
    "templates rollback": "notifyctl templates rollback welcome --to 2",
    "templates enable": "notifyctl templates enable welcome",
    "templates disable": "notifyctl templates disable welcome",
    "templates delete": "notifyctl templates delete welcome",
    "send": "notifyctl send anna --channel email --subject Welcome --body 'Hello Anna'",
    "schedule": "notifyctl schedule anna --channel push --body 'See you at nine' --in 2h30m",
    "notifications list": "notifyctl notifications list --state retrying --since 2h",
    "notifications show": "notifyctl notifications show 3f9c2a71",
    "notifications cancel": "notifyctl notifications cancel --user anna --state scheduled",
    "notifications reschedule": "notifyctl notifications reschedule 3f9c2a71 --at now",
    "notifications restore": "notifyctl notifications restore 3f9c2a71",
    "notifications resend": "notifyctl notifications resend 3f9c2a71",
    "dispatch": "notifyctl dispatch --once --max-time 55s",
    "dlq list": "notifyctl dlq list --provider twilio --since 1h",
    "dlq show": "notifyctl dlq show 3f9c2a71",
    "dlq retry": "notifyctl dlq retry --provider twilio --reason retries_exhausted --rate 5/s",
    "dlq resolve": "notifyctl dlq resolve 3f9c2a71 --by anna --note 'called'",
    "dlq reopen": "notifyctl dlq reopen 3f9c2a71",
    "suppressions list": "notifyctl suppressions list --channel email --since 24h",
    "suppressions show": "notifyctl suppressions show anna@example.org",
    "suppressions add": "notifyctl suppressions add email anna@example.org --reason 'asked by phone'",
    "suppressions remove": "notifyctl suppressions remove email anna@example.org",
    "suppressions import": "notifyctl suppressions import -f bounced.csv --channel email",
    "suppressions export": "notifyctl suppressions export -o csv > suppressed.csv",
    "suppressions pull": "notifyctl suppressions pull sendgrid",
    "categories create": "notifyctl categories create newsletter --kind marketing",
    "categories list": "notifyctl categories list",
    "categories show": "notifyctl categories show newsletter",
    "categories update": "notifyctl categories update newsletter --description 'What is new, monthly'",
    "categories delete": "notifyctl categories delete newsletter",
    "receipts poll": "notifyctl receipts poll --provider twilio",
    "receipts ingest": "notifyctl receipts ingest - --provider sendgrid < events.json",
    "metrics show": "notifyctl metrics show --by hour --last 24h",
    "metrics rollup": "notifyctl metrics rollup",
    "status": "notifyctl status --watch 5s",
    "secrets generate-key": "notifyctl secrets generate-key --save",
    "sandbox": "notifyctl sandbox --port 8025 --inject twilio=503:0.2",
    "demo": "notifyctl demo",
    "config show": "notifyctl config show --origin",
    "config path": "notifyctl config path",
    "completion show": "notifyctl completion show bash",
}

_UNITS = {
    ("D", "DURATION"): "A duration is like 90s, 2h30m or 90d; a bare number is seconds.",
    ("T", "TIME", "TIME|now"): "A time is like 2030-10-25T09:00:00+01:00.",
}


def of(path: str) -> str | None:
    """Return the example of a command, or of the first one of a noun."""
    return EXAMPLES.get(path) or next((line for name, line in EXAMPLES.items() if name.startswith(f"{path} ")), None)


def units(metavars: set[str]) -> list[str]:
    """Return what is to be known of the values with these names."""
    return [text for names, text in _UNITS.items() if metavars & set(names)]
