"""FCM: requests written out as its API wants them, and its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response
from notifyctl.providers.fcm import Fcm
from notifyctl.providers.fcm.answers import BAD_REQUEST, FCM_ERROR

ADAPTER = Fcm()
ID = "11111111-2222-4333-8444-555555555555"
ACCOUNT = {
    "project_id": "shop-1",
    "client_email": "a@shop-1.iam.gserviceaccount.com",
    "private_key": "-----BEGIN",
    "token_uri": "https://oauth2.googleapis.com/token",
}
CREDENTIALS = Credentials("key-id", service_account=ACCOUNT, access_token="ya29.token")


def build(content: dict[str, Any], to: str | None = "device", credentials: Credentials = CREDENTIALS) -> Request:
    return ADAPTER.build(Message(ID, Channel.PUSH, to, content), credentials)


def push(content: dict[str, Any], to: str | None = "device") -> dict[str, Any]:
    return json.loads(build(content, to).body)["message"]


def read(status: int, body: object = None, **headers: str) -> Any:
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return ADAPTER.read(Response(status, {key.replace("_", "-"): value for key, value in headers.items()}, encoded))


def error(status: int, google: str, *details: dict[str, Any], message: str = "what is wrong", **headers: str) -> Any:
    body = {"error": {"code": status, "message": message, "status": google, "details": list(details)}}
    return read(status, body, **headers)


def fcm(code: str) -> dict[str, str]:
    return {"@type": FCM_ERROR, "errorCode": code}


CONDITION = """'a' in topics && ( "b-1" in topics || !('c.~%' in topics) )"""
OTHER_DETAIL = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "X", "errorCode": "UNREGISTERED"}


def test_whole_message() -> None:
    """Every supported field stands where the API wants it, data as texts, and a repeat replaces the first."""
    request = build(
        {
            "v": 1,
            "title": "Hello",
            "body": "World 👍",
            "image": "https://shop.example/a.png",
            "data": {"order": 7, "ratio": 0.5, "gift": False, "name": "Ann"},
            "android": {"priority": "HIGH", "ttl": "3600s", "notification": {"channel_id": "orders"}},
            "apns": {"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1}}},
            "webpush": {"headers": {"TTL": "15"}},
            "fcm_options": {"analytics_label": "spring"},
            "validate_only": True,
        }
    )
    assert request.method == "POST"
    assert request.url == "https://fcm.googleapis.com/v1/projects/shop-1/messages:send"
    assert request.headers == {
        "Authorization": "Bearer ya29.token",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert json.loads(request.body) == {
        "message": {
            "token": "device",
            "notification": {"title": "Hello", "body": "World 👍", "image": "https://shop.example/a.png"},
            "data": {"order": "7", "ratio": "0.5", "gift": "false", "name": "Ann"},
            "android": {"priority": "HIGH", "ttl": "3600s", "notification": {"channel_id": "orders", "tag": ID}},
            "apns": {"headers": {"apns-priority": "10", "apns-collapse-id": ID}, "payload": {"aps": {"badge": 1}}},
            "webpush": {"headers": {"TTL": "15"}},
            "fcm_options": {"analytics_label": "spring"},
        },
        "validate_only": True,
    }


@pytest.mark.parametrize(
    ("content", "to", "audience"),
    [
        ({}, "device", {"token": "device"}),
        ({"token": "device"}, None, {"token": "device"}),
        ({"fid": "installation"}, None, {"fid": "installation"}),
        ({"fid": "installation"}, "installation", {"fid": "installation"}),
        ({"topic": "news"}, None, {"topic": "news"}),
        ({"topic": "news", "token": "", "fid": None}, None, {"topic": "news"}),
        ({"topic": "/topics/news"}, None, {"topic": "news"}),
        ({"condition": "'a' in topics"}, None, {"condition": "'a' in topics"}),
        ({"condition": CONDITION}, None, {"condition": CONDITION}),
    ],
)
def test_audience(content: dict[str, Any], to: str | None, audience: dict[str, str]) -> None:
    """Exactly one audience is named: the device's token unless the content names another."""
    message = push({"title": "x", **content}, to)
    assert {key: message[key] for key in ("token", "fid", "topic", "condition") if key in message} == audience


def test_data_only_message_stays_one() -> None:
    """A silent message is not made visible by options that would make a duplicate replace it."""
    assert push({"data": {"sync": "now"}}) == {"token": "device", "data": {"sync": "now"}}


@pytest.mark.parametrize(
    "options",
    [
        {"android": {"notification": {"tag": "mine"}}, "apns": {"headers": {"Apns-Collapse-Id": "mine"}}},
        {"android": {"collapse_key": "mine"}, "apns": {"headers": {"apns-collapse-id": "mine"}}},
        {"android": {"collapseKey": "mine"}, "apns": {"headers": {"apns-collapse-id": "mine"}}},
    ],
)
def test_callers_own_collapsing_is_kept(options: dict[str, Any]) -> None:
    """Who arranged what replaces what on the device is not overruled."""
    message = push({"title": "x", **options})
    assert {key: message[key] for key in ("android", "apns")} == options


def test_content_is_not_changed() -> None:
    """Building twice gives the same bytes: the content handed in stays as it was."""
    content = {"title": "x", "android": {"notification": {}}, "apns": {"headers": {}}}
    assert build(content).body == build(content).body
    assert content == {"title": "x", "android": {"notification": {}}, "apns": {"headers": {}}}


@pytest.mark.parametrize(
    ("content", "to", "reason"),
    [
        ({}, "device", "title, body or data: missing"),
        ({"title": "x"}, None, "token: missing"),
        ({"title": "x", "topic": "a", "condition": "b"}, None, "only one of them"),
        ({"title": "x", "topic": "a", "token": "device"}, None, "only one of them"),
        ({"title": "x", "condition": "'a' in topics", "token": "device"}, None, "only one of them"),
        ({"title": "x", "fid": "a", "token": "device"}, "device", "only one of them"),
        ({"title": "x", "topic": "a b"}, None, "topic: only letters"),
        ({"title": "x", "topic": "a" * 901}, None, "topic: only letters"),
        ({"title": "x", "condition": "a in topics"}, None, "condition: must be such as"),
        ({"title": "x", "condition": "'a' in topics &&"}, None, "condition: must be such as"),
        ({"title": "x", "condition": "t"}, None, "condition: must be such as"),
        ({"title": "x", "condition": "'a' in topics && t"}, None, "condition: must be such as"),
        ({"title": "x", "condition": "('a' in topics"}, None, "condition: must be such as"),
        ({"title": "x", "condition": "'a' in topics 'b' in topics"}, None, "condition: must be such as"),
        ({"title": "x", "condition": " || ".join(["'a' in topics"] * 6)}, None, "condition: 6 topics"),
        ({"title": 5}, "device", "title: must be text"),
        ({"data": {"a": None}}, "device", "data.a: must be text"),
        ({"data": {"a": {"b": 1}}}, "device", "data.a: must be text"),
        ({"data": {"from": "x"}}, "device", "data.from: a reserved word"),
        ({"data": {"message_type": "x"}}, "device", "data.message_type: a reserved word"),
        ({"data": {"google.x": "x"}}, "device", "data.google.x: a reserved word"),
        ({"data": {"gcm.notification.x": "x"}}, "device", "data.gcm.notification.x: a reserved word"),
        ({"title": "x", "android": "high"}, "device", "android: must be an object"),
        ({"title": "x", "android": {"notification": 5}}, "device", "notification: must be an object"),
        ({"title": "x", "android": {"ttl": 3600}}, "device", 'android.ttl: must be seconds such as "3600s"'),
        ({"title": "x", "android": {"ttl": "1h"}}, "device", "android.ttl: must be seconds"),
        ({"title": "x", "android": {"ttl": "٣s"}}, "device", "android.ttl: must be seconds"),
        ({"title": "x", "android": {"ttl": "3s\n"}}, "device", "android.ttl: must be seconds"),
        ({"title": "x", "android": {"ttl": "-1s"}}, "device", "android.ttl: must be seconds"),
        ({"title": "x", "android": {"ttl": "2419200.5s"}}, "device", "android.ttl: 2419200.5s, FCM keeps"),
        ({"title": "x", "android": {"priority": "urgent"}}, "device", "android.priority: must be NORMAL or HIGH"),
        ({"title": "x", "android": {"data": {"n": 7}}}, "device", "android.data.n: must be text"),
        ({"title": "x", "android": {"channelId": "a"}}, "device", "android.channelId: unknown"),
        ({"title": "x", "android": {"notification": {"chanel": "a"}}}, "device", "android.notification.chanel: unkn"),
        ({"title": "x", "android": {"notification": {"color": "red"}}}, "device", "color: must be a colour"),
        ({"title": "x", "android": {"notification": {"sticky": 1}}}, "device", "sticky: must be true or false"),
        ({"title": "x", "android": {"notification": {"title_loc_args": [1]}}}, "device", "title_loc_args.0: must be"),
        ({"title": "x", "android": {"notification": {"event_time": "noon"}}}, "device", "event_time: must be a time"),
        ({"title": "x", "apns": {"headers": {"apns-priority": 10}}}, "device", "apns.headers.apns-priority: must be"),
        ({"title": "x", "apns": {"headers": {"Apns-Collapse-Id": "x" * 65}}}, "device", "APNs takes 64 bytes"),
        ({"title": "x", "apns": {"payload": "aps"}}, "device", "apns.payload: must be an object"),
        ({"title": "x", "apns": {"aps": {}}}, "device", "apns.aps: unknown"),
        ({"title": "x", "webpush": {"headers": {"TTL": 15}}}, "device", "webpush.headers.TTL: must be text"),
        ({"title": "x", "webpush": {"fcm_options": {"link": "http://a"}}}, "device", "link: must be an https"),
        ({"title": "x", "fcm_options": {"analyticsLabel": "a b"}}, "device", "fcm_options.analyticsLabel: must be"),
        ({"title": "x", "validate_only": "yes"}, "device", "validate_only: must be true or false"),
        ({"title": "", "data": {"a": "é" * 2048}}, "device", "4097 bytes, FCM takes 4096"),
        ({"data": {"a": "x" * 2048}, "topic": "news"}, None, "2049 bytes, FCM takes 2048"),
        ({"title": "\ud83d"}, "device", "surrogate"),
    ],
)
def test_refused_before_sending(content: dict[str, Any], to: str | None, reason: str) -> None:
    """What FCM would refuse, and count against the quota, is refused here with the field's name."""
    with pytest.raises(InvalidMessage, match=reason):
        build(content, to)


def test_limit_is_exact() -> None:
    """The largest payload that is surely allowed is sent."""
    assert push({"data": {"a": "x" * 4095}})


def test_project_and_token() -> None:
    """The project comes from the key file, else from the settings; without a token nothing is claimed to be one."""
    bare = {key: value for key, value in ACCOUNT.items() if key != "project_id"}
    request = build({"title": "x"}, credentials=Credentials("k", config={"project_id": "other"}, service_account=bare))
    assert request.url.endswith("/v1/projects/other/messages:send")
    assert "Authorization" not in request.headers


def test_check_names_each_problem() -> None:
    """`check` tells which parts the key file lacks."""
    assert ADAPTER.check(Credentials("k")) == ["the service account's key file is missing"]
    assert ADAPTER.check(Credentials("k", service_account={"client_email": "a", "private_key": 5})) == [
        "the service account's key file has no private_key",
        "the service account's key file has no token_uri",
        "project_id is missing, in the key file and in the settings",
    ]


def test_accepted() -> None:
    """200 with the message's name is the success, in a dry run too."""
    for name in ("projects/shop-1/messages/0:1500415314455276%31bd1c9631bd1c96", "projects/p/messages/fake_message_id"):
        outcome = read(200, {"name": name})
        assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, name)


@pytest.mark.parametrize("body", [None, {}, {"name": 5}, {"name": ""}, b"<html>", {"error": {}}])
def test_200_without_a_name_is_unknown(body: object) -> None:
    """Who says 200 without naming the message may not be FCM; it is not taken for sent."""
    assert read(200, body).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "google", "details", "kind", "code"),
    [
        (404, "NOT_FOUND", [fcm("UNREGISTERED")], Kind.RECIPIENT, "UNREGISTERED"),
        (404, "NOT_FOUND", [OTHER_DETAIL, fcm("UNREGISTERED")], Kind.RECIPIENT, "UNREGISTERED"),
        (404, "NOT_FOUND", [OTHER_DETAIL], Kind.CONFIG, "NOT_FOUND"),
        (404, "NOT_FOUND", [], Kind.CONFIG, "NOT_FOUND"),
        (500, "INTERNAL", [fcm("UNREGISTERED")], Kind.UNKNOWN, "UNREGISTERED"),
        (403, "PERMISSION_DENIED", [fcm("SENDER_ID_MISMATCH")], Kind.RECIPIENT, "SENDER_ID_MISMATCH"),
        (403, "PERMISSION_DENIED", [], Kind.CONFIG, "PERMISSION_DENIED"),
        (403, "PERMISSION_DENIED", [OTHER_DETAIL], Kind.CONFIG, "PERMISSION_DENIED"),
        (400, "INVALID_ARGUMENT", [fcm("INVALID_ARGUMENT")], Kind.PERMANENT, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED", [], Kind.CONFIG, "UNAUTHENTICATED"),
        (401, "UNAUTHENTICATED", [fcm("THIRD_PARTY_AUTH_ERROR")], Kind.PERMANENT, "THIRD_PARTY_AUTH_ERROR"),
        (429, "RESOURCE_EXHAUSTED", [fcm("QUOTA_EXCEEDED")], Kind.THROTTLED, "QUOTA_EXCEEDED"),
        (500, "INTERNAL", [fcm("INTERNAL")], Kind.UNKNOWN, "INTERNAL"),
        (503, "UNAVAILABLE", [fcm("UNAVAILABLE")], Kind.TRANSIENT, "UNAVAILABLE"),
    ],
)
def test_failures(status: int, google: str, details: list[dict[str, Any]], kind: Kind, code: str) -> None:
    """FCM's own code, found by type and not by position, decides together with the status, and never alone."""
    outcome = error(status, google, *details)
    assert (outcome.kind, outcome.code) == (kind, code)
    # Where somebody has to act it is said in our words, with FCM's beside them.
    ours = kind in (Kind.CONFIG, Kind.RECIPIENT) or code == "THIRD_PARTY_AUTH_ERROR"
    assert (
        outcome.message.endswith(" (what is wrong)") if ours and status >= 401 else outcome.message == "what is wrong"
    )


@pytest.mark.parametrize(
    ("field", "message", "kind"),
    [
        ("message.token", "Invalid value", Kind.RECIPIENT),
        ("message.fid", "Invalid value", Kind.RECIPIENT),
        ("message.data[0].value", "Invalid value", Kind.PERMANENT),
        (None, "The registration token is not a valid FCM registration token", Kind.RECIPIENT),
        (None, "Message is too big", Kind.PERMANENT),
    ],
)
def test_bad_token_and_bad_message_are_told_apart(field: str | None, message: str, kind: Kind) -> None:
    """A 400 drops a token only when it is about the token; a mistake of ours must not cost all users theirs."""
    violations = {"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": message}]}
    details = [violations, fcm("INVALID_ARGUMENT")] if field else [fcm("INVALID_ARGUMENT")]
    assert error(400, "INVALID_ARGUMENT", *details, message=message).kind is kind


def test_bare_401_can_be_told() -> None:
    """A 401 without FCM's detail says UNAUTHENTICATED, by which the caller knows to fetch a new token once."""
    for body in (None, b"<html>", {"error": "x"}, {"error": {"status": 5}}):
        outcome = read(401, body)
        assert (outcome.kind, outcome.code) == (Kind.CONFIG, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {}, 60_000),
        (429, {"retry_after": "7"}, 7_000),
        (429, {"retry_after": "nonsense"}, 60_000),
        (500, {}, 10_000),
        (502, {}, 10_000),
        (503, {}, 10_000),
        (503, {"retry_after": "1"}, 1_000),
        (400, {}, None),
    ],
)
def test_waits(status: int, headers: dict[str, str], wait: int | None) -> None:
    """Google asks for a minute after 429 and ten seconds after 5xx, unless the answer says how long."""
    assert read(status, **headers).retry_after_ms == wait


@pytest.mark.parametrize(
    "largest",
    [
        lambda text: {"android": {"data": {"key": text}}},
        lambda text: {"webpush": {"data": {"key": text}}},
        lambda text: {"apns": {"payload": {"key": text}}},
        lambda text: {"data": {"other": "x" * 4_000}, "android": {"data": {"key": text}}, "title": ""},
    ],
)
def test_the_limit_holds_for_each_platform(largest: Callable[[str], dict[str, Any]]) -> None:
    """4096 bytes of keys and values, to the byte; what is said for one platform stands for what is said for all."""
    build(largest("x" * 4_093))
    for text in ("x" * 4_094, "é" * 2_047):
        with pytest.raises(InvalidMessage, match="4097 bytes, FCM takes 4096"):
            build(largest(text))
