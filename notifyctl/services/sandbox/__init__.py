"""A server on loopback that speaks the providers' protocols: for the demo, for tests, and for trying things out.

It checks what the real ones check, answers with their real bodies, makes faults on request, and delivers nothing.
"""

from __future__ import annotations

from notifyctl.services.sandbox.faults import Rule, parse_rule
from notifyctl.services.sandbox.identity import (
    FCM_PROJECT,
    SENDGRID_KEY,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_KEY_SECRET,
    TWILIO_TOKEN,
)
from notifyctl.services.sandbox.server import Sandbox, SandboxConfig, running, serve

__all__ = [
    "FCM_PROJECT",
    "SENDGRID_KEY",
    "TWILIO_ACCOUNT",
    "TWILIO_KEY",
    "TWILIO_KEY_SECRET",
    "TWILIO_TOKEN",
    "Rule",
    "Sandbox",
    "SandboxConfig",
    "parse_rule",
    "running",
    "serve",
]
