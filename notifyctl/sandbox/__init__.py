"""A server on loopback that speaks the providers' protocols: for the demo, for tests, and for trying things out.

It checks what the real ones check, answers with their real bodies, makes faults on request, and delivers nothing.
"""

from __future__ import annotations

from notifyctl.sandbox.faults import GRAMMAR, Rule, parse_rule
from notifyctl.sandbox.identity import (
    FCM_PROJECT,
    SENDGRID_KEY,
    SENDGRID_KEYS,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_KEY_SECRET,
    TWILIO_TOKEN,
    TWILIO_TOKENS,
    webhook_public_key,
)
from notifyctl.sandbox.receiver import Heard, Receiving, receive
from notifyctl.sandbox.router import RECEIPT_SECONDS, SandboxConfig
from notifyctl.sandbox.script import Line, parse_script
from notifyctl.sandbox.server import Sandbox, running, serve
from notifyctl.sandbox.smtp import PASSWORD as SMTP_PASSWORD
from notifyctl.sandbox.smtp import USER as SMTP_USER

__all__ = [
    "FCM_PROJECT",
    "GRAMMAR",
    "RECEIPT_SECONDS",
    "SENDGRID_KEY",
    "SENDGRID_KEYS",
    "SMTP_PASSWORD",
    "SMTP_USER",
    "TWILIO_ACCOUNT",
    "TWILIO_KEY",
    "TWILIO_KEY_SECRET",
    "TWILIO_TOKEN",
    "TWILIO_TOKENS",
    "Heard",
    "Line",
    "Receiving",
    "Rule",
    "Sandbox",
    "SandboxConfig",
    "parse_rule",
    "parse_script",
    "receive",
    "running",
    "serve",
    "webhook_public_key",
]
