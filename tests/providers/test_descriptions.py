"""What is sent fits the providers' own API descriptions (`tests/specs`), of which nothing is corrected there."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from notifyctl.providers.contract import InvalidMessage
from notifyctl.providers.fcm import options
from notifyctl.providers.twilio.form import OPTIONS as TWILIO_OPTIONS
from tests.providers import scenarios
from tests.providers.scenarios import Scenario
from tests.specs.extract_twilio import PATH, extract

SPECS = Path(__file__).resolve().parents[1] / "specs"
FORMATS = FormatChecker(["email"])


@cache
def document(name: str) -> Any:
    """Return a description as it is."""
    return json.loads((SPECS / name).read_text(encoding="utf-8"))


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no other fields than it names: else a misspelt field would pass.

    The descriptions leave that open, the services mostly do not.
    """
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    has_fields = schema.get("type") == "object" and "properties" in schema
    return {"additionalProperties": False, **inner} if has_fields else inner


def validate(whole: Any, pointer: str, value: Any) -> None:
    """Check a value by the schema that stands in a document at `pointer`."""
    registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(closed(whole)))
    Draft202012Validator({"$ref": f"urn:api#{pointer}"}, registry=registry, format_checker=FORMATS).validate(value)


def named(found: tuple[Scenario, ...]) -> Any:
    return pytest.mark.parametrize("scenario", found, ids=[each.name for each in found])


# SendGrid

MAIL = "/components/requestBodies/PostMailSend/content/application~1json/schema"


@named(scenarios.MAILS)
def test_sendgrid(scenario: Scenario) -> None:
    """The mail is one that the description of Mail Send allows, in address and body.

    It types the top-level `custom_args` as a string, the service takes an object: ours are in the personalization.
    """
    request = scenario.request()
    described = document("tsg_mail_v3.json")
    assert request.method.lower() in described["paths"][urlsplit(request.url).path]
    assert request.url.startswith(described["servers"][0]["url"])
    mail = json.loads(request.body)
    validate(described, MAIL, mail)
    assert "custom_args" not in mail


def test_sendgrid_is_told_apart() -> None:
    """The check can fail: a misspelt field, a wrong type and a missing one are found."""
    mail = json.loads(scenarios.MAILS[2].request().body)
    broken: list[Any] = [{**mail, "replyto": {}}, {**mail, "asm": {"group_id": "7"}}]
    broken += [{**mail, "from": {"name": "Shop"}}, {**mail, "attachments": [{"content": "eA=="}]}]
    for each in broken:
        with pytest.raises(ValidationError):
            validate(document("tsg_mail_v3.json"), MAIL, each)


# Twilio

FORM = (
    f"/paths/{PATH.replace('~', '~0').replace('/', '~1')}/post/requestBody/content/application~1x-www-form-urlencoded"
)


@named(scenarios.TEXTS)
def test_twilio(scenario: Scenario) -> None:
    """The form has the description's names and types, and one of each group of which the service needs one.

    The description requires only `To`; the groups stand under `x-twilio`.
    """
    request = scenario.request()
    described = document("twilio_messages_create.json")
    operation = described["paths"][PATH]["post"]
    assert request.url == described["servers"][0]["url"] + PATH.replace("{AccountSid}", scenarios.ACCOUNT)
    assert request.headers["Content-Type"] in operation["requestBody"]["content"]
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    sent = as_typed(pairs, operation["requestBody"]["content"][request.headers["Content-Type"]]["schema"])
    validate(described, f"{FORM}/schema", sent)
    for group in operation["x-twilio"]["conditional"]:
        assert sent.keys() & {each.title().replace("_", "") for each in group}


def as_typed(pairs: list[tuple[str, str]], schema: Any) -> dict[str, Any]:
    """Return a form's pairs as the values that they stand for."""
    sent: dict[str, Any] = {}
    for name, value in pairs:
        kind = schema["properties"].get(name, {}).get("type")
        if kind == "array":
            sent.setdefault(name, []).append(value)
        else:
            assert name not in sent
            sent[name] = json.loads(value) if kind in ("integer", "boolean") else value
    return sent


def test_twilio_is_told_apart() -> None:
    """The check can fail: a misspelt parameter, a wrong type and a malformed SID are found."""
    for broken in ({"Media": ["a"]}, {"ValidityPeriod": "600"}, {"MessagingServiceSid": "MG1"}):
        with pytest.raises(ValidationError):
            validate(document("twilio_messages_create.json"), f"{FORM}/schema", {"To": "+15558675310", **broken})


def test_twilio_options_are_the_documents() -> None:
    """Each option has a parameter of the document's, and takes its words and no others."""
    described = document("twilio_messages_create.json")
    parameters = described["paths"][PATH]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    for field, (name, check) in TWILIO_OPTIONS.items():
        schema = parameters["schema"]["properties"][name]
        if "$ref" in schema:
            schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        good, bad = examples(schema)
        for value in good:
            check(field, value)
        with pytest.raises(InvalidMessage, match=field):
            check(field, bad)


def test_the_extract_is_whole() -> None:
    """Cutting it out again of what was cut out changes nothing: every schema referred to is there, and no other."""
    described = document("twilio_messages_create.json")
    assert extract(described) == described


# FCM


def as_json_schema(schema: Any) -> Any:
    """Return a schema of Google's discovery format as JSON Schema: references are names, and any type has a name."""
    if isinstance(schema, list):
        return [as_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: as_json_schema(value) for key, value in schema.items() if (key, value) != ("type", "any")}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = f"#/schemas/{found['$ref']}"
    if found.get("format") == "google-duration":
        found["pattern"] = r"^\d+(\.\d{1,9})?s$"
    return found


def camel_case(value: Any) -> Any:
    """Return a body as the document spells it; the service takes snake case as well, and enumerated words in any case.

    The keys of an app's own data are changed too, which here makes no difference.
    """
    if isinstance(value, list):
        return [camel_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for key, each in value.items():
        first, *others = key.split("_")
        changed[first + "".join(map(str.title, others))] = each.upper() if key == "priority" else camel_case(each)
    return changed


def fcm_schemas() -> Any:
    return {"schemas": as_json_schema(document("fcm.v1.discovery.json")["schemas"])}


@named(scenarios.PUSHES)
def test_fcm(scenario: Scenario) -> None:
    """The message is one of the discovery document's, platforms' options and all, and so is the address."""
    request = scenario.request()
    described = document("fcm.v1.discovery.json")
    method = described["resources"]["projects"]["resources"]["messages"]["methods"]["send"]
    assert request.url == described["rootUrl"] + method["path"].replace("{+parent}", "projects/shop-1")
    assert request.method == method["httpMethod"]
    validate(fcm_schemas(), f"/schemas/{method['request']['$ref']}", camel_case(json.loads(request.body)))


def test_fcm_is_told_apart() -> None:
    """The check can fail: a misplaced option, a wrong type and an unknown word are found."""
    options: list[Any] = [{"channelId": "x"}, {"ttl": 3600}, {"ttl": "1h"}, {"priority": "URGENT"}, {"data": {"n": 7}}]
    for broken in options:
        with pytest.raises(ValidationError):
            validate(fcm_schemas(), "/schemas/Message", {"token": "t", "android": broken})


TABLES = {
    "AndroidConfig": options.ANDROID,
    "AndroidNotification": options.ANDROID_NOTIFICATION,
    "LightSettings": options.LIGHT_SETTINGS,
    "Color": options.COLOR,
    "ApnsConfig": options.APNS,
    "ApnsFcmOptions": options.APNS_FCM_OPTIONS,
    "WebpushConfig": options.WEBPUSH,
    "WebpushFcmOptions": options.WEBPUSH_FCM_OPTIONS,
    "FcmOptions": options.FCM_OPTIONS,
    "AndroidFcmOptions": options.FCM_OPTIONS,
}
# Where not every text will do, and no description but the prose says so.
SAMPLES = {"color": "#ff8800", "link": "https://shop.example/"}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_fcm_options_are_those_of_the_document(name: str) -> None:
    """Our tables have the document's fields, each with its type: what is refused here FCM would refuse, and no more."""
    described = document("fcm.v1.discovery.json")["schemas"][name]["properties"]
    assert {options.snake_case(field) for field in described} == set(TABLES[name])
    for field, schema in described.items():
        check = TABLES[name][options.snake_case(field)]
        good, bad = examples(schema)
        for value in [SAMPLES[field]] if field in SAMPLES and name != "LightSettings" else good:
            check(field, value)
        with pytest.raises(InvalidMessage, match=field):
            check(field, bad)


def examples(schema: Any) -> tuple[list[Any], Any]:
    """Return values that a schema of the document allows, and one that it does not."""
    if "$ref" in schema:
        return [{}], []
    if "enum" in schema:
        return [*schema["enum"], *map(str.lower, schema["enum"])], "NONSENSE"
    if schema["type"] == "array":
        good, bad = examples(schema["items"])
        return [[], good], [bad]
    if schema["type"] == "object":
        inner = schema["additionalProperties"]
        return ([{"a": {"b": [1]}}], []) if inner["type"] == "any" else ([{"a": "b"}], {"a": 7})
    formats = {"google-duration": ["1s", "0.5s"], "google-datetime": ["2026-11-23T09:00:00Z"]}
    plain: dict[str, tuple[list[Any], Any]] = {
        "string": (formats.get(schema.get("format", ""), ["x"]), 7),
        "boolean": ([True, False], 1),
        "integer": ([3], "3"),
        "number": ([1, 0.5], "1"),
    }
    return plain[schema["type"]]
