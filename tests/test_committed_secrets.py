"""No file of the repository is a secret: a key that was committed once can be had by whoever can read the repository.

Secrets are told by their form, as a scanner tells them. The vectors that other tests need are made while they run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from notifyctl.core import apikey
from notifyctl.core.sealing import KEY_BYTES, format_key
from notifyctl.sandbox.identity import service_account
from tests.support.command import REPOSITORY

# In source text and in JSON a line of a PEM file ends with a backslash and an n.
FORMS = {
    "a PEM private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s)*[A-Za-z0-9+/]{40}"),
    "an encryption key": re.compile(rb"(?<![A-Za-z0-9])[a-z0-9]{1,6}:[A-Za-z0-9+/]{86}=="),  # kid:base64 of 64 bytes
    "an API key": re.compile(rb"nctl_[a-z0-9]{1,16}_[0-9A-Za-z]{49}"),
}
SERVICE_ACCOUNT = "a service account's key file"


def secrets_in(content: bytes) -> list[str]:
    """Return the kinds of secrets that a file's content holds."""
    found = [kind for kind, form in FORMS.items() if form.search(content)]
    return [*found, SERVICE_ACCOUNT] if _is_service_account(content) else found


def _is_service_account(content: bytes) -> bool:
    if b"service_account" not in content:
        return False
    try:
        parsed = json.loads(content)
    except ValueError:  # not JSON: what a program says of such files
        return False
    return isinstance(parsed, dict) and parsed.get("type") == "service_account" and bool(parsed.get("private_key"))


@pytest.mark.skipif(
    shutil.which("git") is None or not (REPOSITORY / ".git").exists(), reason="only git knows what is committed"
)
def test_no_secret_is_committed() -> None:
    """Neither what `secrets generate-key`, `keys create` and the sandbox make, nor a key from elsewhere."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    files = [REPOSITORY / name for name in listed.decode().split("\0") if name]
    assert REPOSITORY / "README.md" in files
    found = {str(path.relative_to(REPOSITORY)): secrets_in(path.read_bytes()) for path in files if path.is_file()}
    assert {name: kinds for name, kinds in found.items() if kinds} == {}


def test_the_search_finds_each_secret(tmp_path: Path) -> None:
    """A search that finds nothing proves nothing unless it can find: here is one of each, as they are generated."""
    key_file = tmp_path / "account.json"
    service_account(key_file, "http://127.0.0.1:1/token")
    assert secrets_in(key_file.read_bytes()) == ["a PEM private key", SERVICE_ACCOUNT]
    key = generate_private_key(SECP256R1())
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        assert secrets_in(key.private_bytes(Encoding.PEM, form, NoEncryption())) == ["a PEM private key"]
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"guessable"))
    assert secrets_in(locked) == ["a PEM private key"]
    written = format_key("k1", bytes(range(KEY_BYTES)))
    assert secrets_in(f"encryption_keys = '{written}'\n".encode()) == ["an encryption key"]
    assert secrets_in(apikey.generate("live", bytes(range(32))).secret.encode()) == ["an API key"]
