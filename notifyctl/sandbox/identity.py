"""The sandbox's credentials: fixed where they can be, so that they can be written down; obviously not real."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from dataclasses import field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from notifyctl.core.errors import Conflict
from notifyctl.core.frozen import dataclass

# The secrets of a server that delivers nothing.
SENDGRID_KEY = "SG.sandbox.not-a-real-key"
SENDGRID_KEYS = (SENDGRID_KEY, "SG.sandbox.the-next-key")
"""Both are good at any time, so that one can take the other's place without a gap."""
TWILIO_ACCOUNT = "AC" + "5a" * 16
TWILIO_TOKEN = "sandbox-auth-token"  # noqa: S105
TWILIO_TOKENS = (TWILIO_TOKEN, "sandbox-secondary-token")
TWILIO_KEY = "SK" + "5a" * 16
TWILIO_KEY_SECRET = "sandbox-key-secret"  # noqa: S105
FCM_PROJECT = "notifyctl-sandbox"
FCM_EMAIL = f"sandbox@{FCM_PROJECT}.iam.gserviceaccount.com"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account as its key file has it, and the key that checks its signatures."""

    file: dict[str, Any] = field(repr=False)
    public_key: RSAPublicKey

    @property
    def key_id(self) -> str:
        """The id of the key, as `kid` names it."""
        return str(self.file["private_key_id"])


def service_account(path: Path, token_uri: str) -> ServiceAccount:
    """Return the account in the file at `path`, which is written (mode 0600) unless it is there with this `token_uri`.

    The key of a file from an earlier run is kept, so that what was set up with it goes on working. Raises Conflict
    for a file that is not the sandbox's own, and OSError.
    """
    found = _read(path)
    key = _key_of(found, path) if found is not None else generate_private_key(public_exponent=65_537, key_size=2_048)
    file = _file(key, token_uri)
    if file != found:
        _write(path, file)
    return ServiceAccount(file, key.public_key())


def webhook_public_key() -> str:
    """Return the key that checks SendGrid's events, as its mail settings show it: base64 of DER."""
    public = _webhook_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(public).decode()


def webhook_headers(body: bytes, now: float) -> dict[str, str]:
    """Return the headers that sign a call of SendGrid's Event Webhook: ECDSA over the moment and the body."""
    moment = str(int(now))
    signature = _webhook_key().sign(moment.encode() + body, ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": moment,
    }


@cache
def _webhook_key() -> EllipticCurvePrivateKey:
    # Always the same, so that it can be configured once.
    return derive_private_key(int.from_bytes(sha256(b"notifyctl sandbox").digest()), SECP256R1())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    # Anything else may be the only copy of a real key.
    if not isinstance(found, dict) or found.get("client_email") != FCM_EMAIL:
        raise Conflict(f"{path} is not a service account of the sandbox", "name another file, or remove this one")
    return found


def _key_of(file: dict[str, Any], path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(str(file.get("private_key")).encode(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise Conflict(f"{path} holds no usable private key", "remove the file; the sandbox writes a new one")
    return key


def _file(key: RSAPrivateKey, token_uri: str) -> dict[str, Any]:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "type": "service_account",
        "project_id": FCM_PROJECT,
        "private_key_id": sha256(public).hexdigest()[:40],
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": FCM_EMAIL,
        "client_id": "100000000000000000000",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


def _write(path: Path, file: dict[str, Any]) -> None:
    """Replace the file in one step; it is never there half, and never readable for others."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # whatever it is, a link too, it is not written through
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(json.dumps(file, indent=2) + "\n")
    draft.replace(path)
