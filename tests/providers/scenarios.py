"""What people send, once for every test that compares requests with something: descriptions, SDKs.

`adds` is what notifyctl puts into the request of its own accord, at its place in the body; nothing else may differ from
what the provider's own SDK would send.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from notifyctl.core.model import Message
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Request

ID = "11111111-2222-4333-8444-555555555555"
ACCOUNT = "AC" + "a" * 32
KEY = "SK" + "b" * 32
SERVICE = "MG" + "c" * 32
TEMPLATE = "HX" + "d" * 32
FILE = {"filename": "Rechnung März.pdf", "type": "application/pdf", "content": "JVBERi0xLjcK"}
LOGO = {"filename": "logo.png", "type": "image/png", "content": "iVBORw0KGgo="}

# How a duplicate is found afterwards; and how it replaces the first on a device.
_FOUND = {"personalizations": [{"custom_args": {"notification_id": ID}}]}
_REPLACED = {"message": {"android": {"notification": {"tag": ID}}, "apns": {"headers": {"apns-collapse-id": ID}}}}


@dataclass(frozen=True)
class Scenario:
    """One message to one recipient, with the provider's settings."""

    name: str
    provider: str
    to: str | None
    content: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    login: str = ACCOUNT
    adds: dict[str, Any] = field(default_factory=dict)

    def request(self, base_url: str | None = None, **more: Any) -> Request:
        """Return what the adapter makes of it; `more` goes into the credentials."""
        adapter = registry.get(self.provider)
        config = self.config | ({"base_url": base_url} if base_url else {})
        secrets = {"sendgrid": ("SG.key", None), "twilio": (self.login, "token"), "fcm": ("key-id", None)}
        credentials = Credentials(*secrets[self.provider], config, **more)
        return adapter.build(Message(ID, adapter.channel, self.to, {"v": 1, **self.content}), credentials)


def _mail(name: str, content: dict[str, Any], **config: Any) -> Scenario:
    return Scenario(name, "sendgrid", "ann@example.com", content, {"from": "shop@shop.example", **config}, adds=_FOUND)


def _text(name: str, content: dict[str, Any], login: str = ACCOUNT, **config: Any) -> Scenario:
    return Scenario(name, "twilio", "+15558675310", content, {"from": "+14155552345", **config}, login)


def _push(name: str, content: dict[str, Any], to: str | None = None, adds: Any = _REPLACED) -> Scenario:
    return Scenario(name, "fcm", to, content, {"project_id": "shop-1"}, adds=adds)


MAILS = (
    _mail("plain mail", {"subject": "Hello", "text": "Hello!"}),
    _mail("HTML alone", {"subject": "Hello", "html": "<p>Hello!</p>", "from": "Shop <news@shop.example>"}),
    _mail(
        "whole mail",
        {
            "subject": "Grüße 👍",
            "text": "Hello!",
            "html": '<p>Hello! <img src="cid:logo"></p>',
            "from": "Shop <news@shop.example>",
            "reply_to": "Help <help@shop.example>",
            "cc": ["Bob <bob@example.com>", "carl@example.com"],
            "bcc": ["dora@example.com"],
            "attachments": [
                {**FILE, "disposition": "attachment"},
                {**LOGO, "disposition": "inline", "content_id": "logo"},
            ],
            "headers": {"X-Campaign": "spring"},
            "categories": ["news", "spring"],
            "custom_args": {"order": "7"},
            "asm": {"group_id": 7, "groups_to_display": [7, 8]},
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": True, "substitution_tag": "%open%"},
                "subscription_tracking": {"enable": False},
                "ganalytics": {"enable": True, "utm_source": "mail", "utm_campaign": "spring"},
            },
            "mail_settings": {
                "bypass_list_management": {"enable": True},
                "footer": {"enable": True, "text": "Bye", "html": "<p>Bye</p>"},
            },
            "ip_pool_name": "transactional",
        },
    ),
    _mail("template of SendGrid's", {"template_id": "d-0123", "template_data": {"name": "Ann", "items": [{"n": 1}]}}),
    _mail("several to answer", {"subject": "Hello", "text": "Hello!", "reply_to": ["a@b.example", "C <c@d.example>"]}),
    _mail("sandbox mode", {"subject": "Hello", "text": "Hello!"}, sandbox_mode=True, reply_to="help@shop.example"),
)
TEXTS = (
    _text("text from a number", {"body": "Hello! 👍 & more"}),
    _text("text from a name, with an API key", {"body": "Hello", "from": "Shop"}, login=KEY, account_sid=ACCOUNT),
    _text(
        "text from a service",
        {
            "body": "Hello",
            "media": ["https://shop.example/a.png", "https://shop.example/b.png?x=1&y=2"],
            "validity_seconds": 600,
            "status_callback": "https://shop.example/status",
            "smart_encoded": True,
            "shorten_urls": True,
            "send_as_mms": False,
            "risk_check": "disable",
            "content_retention": "discard",
            "address_retention": "obfuscate",
        },
        messaging_service_sid=SERVICE,
    ),
    _text("picture alone", {"media": "https://shop.example/a.png"}, status_callback="https://shop.example/status"),
    _text("template of Twilio's", {"template_id": TEMPLATE, "template_data": {"1": "Änne"}, "from": SERVICE}),
)
ANDROID = {
    "collapse_key": "orders",
    "priority": "high",
    "ttl": "3600.5s",
    "restricted_package_name": "example.shop",
    "data": {"order": "7"},
    "direct_boot_ok": True,
    "notification": {
        "title": "Order",
        "body": "On its way",
        "icon": "van",
        "color": "#ff8800",
        "sound": "default",
        "tag": "order-7",
        "click_action": "OPEN_ORDER",
        "body_loc_key": "on_its_way",
        "body_loc_args": ["7"],
        "title_loc_key": "order",
        "title_loc_args": ["7"],
        "channel_id": "orders",
        "image": "https://shop.example/van.png",
        "ticker": "Order",
        "sticky": True,
        "event_time": "2026-11-23T09:00:00Z",
        "local_only": True,
        "notification_priority": "PRIORITY_HIGH",
        "vibrate_timings": ["0.2s", "1s"],
        "light_settings": {
            "color": {"red": 1, "green": 0, "blue": 0, "alpha": 1},
            "light_on_duration": "0.5s",
            "light_off_duration": "1s",
        },
        "visibility": "PUBLIC",
        "notification_count": 3,
        "proxy": "DENY",
    },
    "fcm_options": {"analytics_label": "android"},
}
APNS = {
    "headers": {"apns-priority": "10", "apns-expiration": "1792567680", "apns-collapse-id": "order-7"},
    "payload": {
        "aps": {
            "alert": {"title": "Order", "subtitle": "7", "body": "On its way", "loc-key": "way", "loc-args": ["7"]},
            "badge": 1,
            "sound": {"name": "ring", "critical": 1, "volume": 0.5},
            "category": "orders",
            "thread-id": "order-7",
            "content-available": 1,
            "mutable-content": 1,
        },
        "order": 7,
    },
    "fcm_options": {"analytics_label": "apns", "image": "https://shop.example/van.png"},
}
WEBPUSH = {
    "headers": {"TTL": "15", "Urgency": "high"},
    "data": {"order": "7"},
    "notification": {
        "title": "Order",
        "body": "On its way",
        "icon": "https://shop.example/van.png",
        "requireInteraction": True,
        "actions": [{"action": "open", "title": "Open"}],
        "vibrate": [200, 100],
    },
    "fcm_options": {"link": "https://shop.example/orders/7"},
}
PUSHES = (
    _push("push to a token", {"title": "Hello", "body": "World 👍", "image": "https://shop.example/a.png"}, to="token"),
    _push("push to an installation", {"fid": "installation", "title": "Hello"}, to="installation"),
    _push("data alone", {"data": {"order": 7, "gift": True}, "fid": "installation"}, adds={}),
    _push("topic, Android", {"topic": "/topics/news", "title": "Hello", "android": ANDROID, "apns": APNS}, adds={}),
    _push(
        "condition, Apple",
        {"condition": "'news' in topics && !('de' in topics)", "apns": APNS, "android": {"priority": "NORMAL"}},
        adds={},
    ),
    _push(
        "web, in camel case, only to be looked at",
        {
            "fid": "installation",
            "title": "Hello",
            "webpush": {("fcmOptions" if key == "fcm_options" else key): value for key, value in WEBPUSH.items()},
            "android": {"collapseKey": "orders", "notification": {"channelId": "orders"}},
            "fcm_options": {"analyticsLabel": "spring"},
            "validate_only": True,
        },
        adds={"message": {"apns": {"headers": {"apns-collapse-id": ID}}}},
    ),
)
