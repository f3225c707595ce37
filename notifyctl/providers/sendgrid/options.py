"""What SendGrid takes besides the mail itself: unsubscribe groups, tracking, and settings of a mail.

Source: twilio.com/docs/sendgrid/api-reference/mail-send, as its API description has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers import shapes
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.shapes import Table, each, flag, text, whole

MAX_GROUPS = 25


def _groups(path: str, value: Any) -> None:
    each(whole)(path, value)
    if len(value) > MAX_GROUPS:
        raise InvalidMessage(f"{path}: {len(value)} groups, SendGrid takes {MAX_GROUPS}")


ASM: Table = {"group_id": whole, "groups_to_display": _groups}
_SWITCH = shapes.fields({"enable": flag})
TRACKING_SETTINGS: Table = {
    "click_tracking": shapes.fields({"enable": flag, "enable_text": flag}),
    "open_tracking": shapes.fields({"enable": flag, "substitution_tag": text}),
    "subscription_tracking": shapes.fields({"enable": flag, "text": text, "html": text, "substitution_tag": text}),
    "ganalytics": shapes.fields(
        {
            "enable": flag,
            **dict.fromkeys(("utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign"), text),
        }
    ),
}
MAIL_SETTINGS: Table = {
    **dict.fromkeys(("bypass_list_management", "bypass_spam_management", "bypass_bounce_management"), _SWITCH),
    **dict.fromkeys(("bypass_unsubscribe_management", "sandbox_mode"), _SWITCH),
    "footer": shapes.fields({"enable": flag, "text": text, "html": text}),
}
_POOL = shapes.matching(r"(?s).{2,64}", "2 to 64 characters")


def options(message: Message) -> dict[str, Any]:
    """Return the options that are given, as they are; raise InvalidMessage for what SendGrid would refuse.

    A mail of a category that is a group at SendGrid is of that group, unless it names another one.
    """
    content = message.content
    given: dict[str, Any] = {
        key: value for key in ("asm", "tracking_settings") if (value := fields.mapping(content, key))
    }
    for key, table in (("asm", ASM), ("tracking_settings", TRACKING_SETTINGS)):
        shapes.fields(table)(key, given.get(key, {}))
    if "asm" in given and given["asm"].get("group_id") is None:
        raise InvalidMessage("asm.group_id: missing")
    if message.group and "asm" not in given:
        given["asm"] = {"group_id": int(message.group)}
    if (pool := fields.text(content, "ip_pool_name")) is not None:
        _POOL("ip_pool_name", pool)
        given["ip_pool_name"] = pool
    return _left_by_itself(given) if message.one_click else given


def _left_by_itself(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a mail with its own link to unsubscribe: SendGrid adds no other, and changes none.

    Subscription tracking and unsubscribe groups bring a List-Unsubscribe of SendGrid's own, click tracking leads every
    link by another host. Source: twilio.com/docs/sendgrid/ui/sending-email/list-unsubscribe.
    """
    tracking = {
        **given.get("tracking_settings", {}),
        "click_tracking": {"enable": False, "enable_text": False},
        "subscription_tracking": {"enable": False},
    }
    return {**{name: value for name, value in given.items() if name != "asm"}, "tracking_settings": tracking}


def mail_settings(content: Mapping[str, Any], credentials: Credentials) -> dict[str, Any]:
    """Return the mail's settings; where the provider is in sandbox mode, no mail can leave it."""
    settings = fields.mapping(content, "mail_settings")
    shapes.fields(MAIL_SETTINGS)("mail_settings", settings)
    if credentials.config.get("sandbox_mode") is True:
        settings["sandbox_mode"] = {"enable": True}
    return {"mail_settings": settings} if settings else {}
