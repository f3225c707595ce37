"""Settings: flag, then environment, then profile, then the user's file, then /etc, then default.

The only module that reads the environment and configuration files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notifyctl.config.demands import demanded_by
from notifyctl.config.files import MOST_BYTES as MOST_BYTES
from notifyctl.config.files import SYSTEM_FILE as SYSTEM_FILE
from notifyctl.config.files import ConfigFiles, default_database, others
from notifyctl.config.files import contents as contents
from notifyctl.config.files import default_keys_file as default_keys_file
from notifyctl.config.files import expanded as expanded
from notifyctl.config.files import read as read_files
from notifyctl.config.files import user_file as user_file
from notifyctl.config.values import ENVIRONMENT, checked
from notifyctl.core.errors import NotAllowed, UsageError
from notifyctl.core.model import Channel, OnCap, OnUnknown

if TYPE_CHECKING:
    from notifyctl.core.audit.anchoring import AnchorTerms
    from notifyctl.core.contact import CountryRules
    from notifyctl.core.policy import Policy
    from notifyctl.core.webhook.target import HookReach

HANDED_OVER = (Path("/run/secrets"), Path("/run/credentials"))
"""Where Docker and systemd put what is secret before a service; systemd says it in CREDENTIALS_DIRECTORY, too."""
PROVIDER_URLS = ("sendgrid", "twilio", "fcm")
_KEYS = ("encryption_keys", "encryption_keys_file")
_IN_FILES = ("database_url", "api_key")
"""What may stand in a file instead, which NOTIFYCTL_..._FILE names."""


@dataclass(frozen=True)
class Settings:
    """Everything that is configured. `origins` says of each name where its value came from."""

    database_url: str
    profile: str | None = None
    encryption_keys: str | None = field(default=None, repr=False)
    encryption_keys_file: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    operator: str | None = None
    protected: bool = False
    require_api_key: bool = False
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    on_cap: OnCap = OnCap.DEFER
    cap_counts_transactional: bool = True
    default_timezone: str | None = None
    contact_windows: Mapping[str, CountryRules] = field(default_factory=dict)
    notification_limit: int | None = None
    api_limit: int | None = None
    unsubscribe_url: str | None = None
    on_change: tuple[str, ...] | None = None
    webhook_loopback: bool = False
    webhook_ports: tuple[int, ...] | None = None
    webhook_proxy: str | None = None
    webhook_proxy_login_file: Path | None = None
    audit_anchor: AnchorTerms | None = None
    dispatch: Mapping[str, Any] = field(default_factory=dict)
    log_format: str = "text"
    log_level: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """What is configured about when people may be reached."""
        from notifyctl.core.policy import Policy  # what brings calendars along is not loaded by every command

        return Policy(
            on_cap=self.on_cap,
            cap_counts_transactional=self.cap_counts_transactional,
            default_timezone=self.default_timezone,
            contact_windows=self.contact_windows,
            notification_limit=self.notification_limit,
        )

    @property
    def webhook_reach(self) -> HookReach:
        """What is configured about where webhooks may go."""
        from notifyctl.core.webhook.target import PORTS, HookReach  # few commands ask

        ports = PORTS if self.webhook_ports is None else frozenset(self.webhook_ports)
        return HookReach(self.webhook_loopback, ports)


def shown_database_url(url: str) -> str:
    """Return a database URL without its password, or why it cannot be one: what is in force is shown all the same."""
    if not url:
        return "(no home folder to keep one in)"
    from notifyctl.store.db.urls import label

    try:
        return label(url)
    except UsageError as error:
        return f"({error.message})"


def load(
    *,
    profile: str | None = None,
    config: str | None = None,
    database_url: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force. Raises UsageError for what cannot be meant, naming the file and the key."""
    env = os.environ if env is None else env
    if database_url is not None:
        _refuse_password(database_url)
    files = read_files(config or env.get("NOTIFYCTL_CONFIG"))
    name, name_origin = _profile(profile, env, files)
    if name:
        _require_profile(name, files)
    layers = [
        ({"database_url": database_url} if database_url else {}, "flag --database-url"),
        (_from_environment(env), "environment"),
        *((_of_profile(path, data, name), f"{path} [profiles.{name}]") for path, data in files if name),
        *((_of_file(path, data), str(path)) for path, data in files),
        (_defaults(), "default"),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {"profile": name_origin} if name else {}
    for layer, origin in layers:
        for key, value in _checked(layer, origin).items():
            _merge(values, origins, key, value, origin)
    all_files = [*files, *others(files)]
    if where := demanded_by(values["database_url"], all_files, env):
        values["require_api_key"], origins["require_api_key"] = True, where
    return Settings(profile=name, origins=MappingProxyType(origins), **_frozen(values))


def _defaults() -> dict[str, Any]:
    database, keys = default_database(), default_keys_file()
    return {
        "database_url": f"sqlite:///{database}" if database else "",
        **({"encryption_keys_file": str(keys)} if keys else {}),
    }


def _merge(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    if isinstance(value, dict):
        for inner, inner_value in value.items():
            if inner not in values.setdefault(key, {}):
                values[key][inner] = inner_value
                origins[f"{key}.{inner}"] = origin
        return
    # Keys and the file with them are one setting in two shapes: the nearer layer's stands.
    if key in _KEYS and any(other in values for other in _KEYS):
        return
    if key not in values:
        values[key] = value
        origins[key] = origin


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    for key in ("encryption_keys_file", "webhook_proxy_login_file"):
        if key in values:
            values[key] = expanded(values[key])
    return {key: MappingProxyType(value) if isinstance(value, dict) else value for key, value in values.items()}


def _refuse_password(url: str) -> None:
    # By the rules of whoever opens it, which takes more for a password than the rules for URLs do.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        password = parsed.password or any("password" in key.lower() for key in parsed.query)
    except (ArgumentError, ValueError):
        password = "@" in url
    if password:
        raise UsageError(
            "a password in --database-url can be read by everyone in the process list",
            "put it into NOTIFYCTL_DATABASE_URL, ~/.pgpass or a service file",
        )


def _profile(flag: str | None, env: Mapping[str, str], files: ConfigFiles) -> tuple[str | None, str]:
    if flag:
        return flag, "flag --profile"
    if env.get("NOTIFYCTL_PROFILE"):
        return env["NOTIFYCTL_PROFILE"], "environment"
    for path, data in files:
        if data.get("profile"):
            return str(data["profile"]), str(path)
    return None, ""


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    for name in (*ENVIRONMENT.values(), *(f"NOTIFYCTL_{provider.upper()}_URL" for provider in PROVIDER_URLS)):
        if not _is_text(env.get(name, "")):
            raise UsageError(f"{name}: is no text in UTF-8")
    values: dict[str, Any] = {key: env[name] for key, name in ENVIRONMENT.items() if env.get(name)}
    if ENVIRONMENT["api_key"] in env:  # an empty one is a wrong key, not the operator
        values["api_key"] = env[ENVIRONMENT["api_key"]]
    values |= {key: text for key in _IN_FILES if (text := _of_file_named(key, env)) is not None}
    urls = {
        name: env[f"NOTIFYCTL_{name.upper()}_URL"] for name in PROVIDER_URLS if env.get(f"NOTIFYCTL_{name.upper()}_URL")
    }
    if urls:
        values["provider_urls"] = urls
    return values


def _of_file_named(key: str, env: Mapping[str, str]) -> str | None:
    """Return what is in the file that a variable names: one final end of a line is not part of it."""
    plain, name = ENVIRONMENT[key], f"{ENVIRONMENT[key]}_FILE"
    if not env.get(name):
        return "" if name in env and key == "api_key" else None  # an empty one is a wrong key, not the operator
    if plain in env:
        raise UsageError(f"{plain} and {name} are both set", "keep one of them")
    path = expanded(env[name])
    try:
        require_private(path)
        return without_line_end(contents(path, f"{name}: ").decode())
    except (OSError, UnicodeError) as error:
        raise NotAllowed(f"{name}: {path}: {getattr(error, 'strerror', None) or 'is no text in UTF-8'}") from error


def without_line_end(text: str) -> str:
    """Return a secret as it was meant: without the one final end of a line that editors and `echo` add."""
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def profiles(env: Mapping[str, str]) -> list[str]:
    """Return the names of the profiles that there are."""
    return list(
        dict.fromkeys(each for path, data in read_files(env.get("NOTIFYCTL_CONFIG")) for each in _profiles(path, data))
    )


def _require_profile(name: str, files: ConfigFiles) -> None:
    known = [each for path, data in files for each in _profiles(path, data)]
    if name not in known:
        hint = f"there are: {', '.join(known)}" if known else "notifyctl config path shows where profiles are kept"
        raise UsageError(f"there is no profile {name}", hint)


def _profiles(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    return _table(data.get("profiles", {}), f"{path}: profiles")


def _of_profile(path: Path, data: dict[str, Any], name: str) -> dict[str, Any]:
    return _flat(_profiles(path, data).get(name, {}), f"{path}: profiles.{name}")


def _of_file(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    return _flat({key: value for key, value in data.items() if key not in ("profile", "profiles")}, str(path))


def _flat(section: Any, where: str) -> dict[str, Any]:
    """Lift `[policy]`, where the file groups what is decided about notifications."""
    values = _table(section, where)
    policy = _table(values.get("policy", {}), f"{where}: policy")
    return {**{key: value for key, value in values.items() if key != "policy"}, **policy}


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a table")
    return value


def _checked(layer: dict[str, Any], origin: str) -> dict[str, Any]:
    return {key: checked(key, value, origin) for key, value in layer.items()}


def read_keys(settings: Settings) -> tuple[str, str]:
    """Return the encryption keys' text and where it is from; empty when no keys file exists."""
    if settings.encryption_keys is not None:
        origin = settings.origins.get("encryption_keys", "environment")
        return settings.encryption_keys, ENVIRONMENT["encryption_keys"] if origin == "environment" else origin
    path = keys_file(settings)
    return ("", "no keys file") if path is None else (read_keys_file(path), str(path))


def read_login(path: Path) -> str:
    """Return the `NAME:PASSWORD` in a file. Raises NotAllowed for one that others can read, and for none."""
    try:
        require_private(path)
        login = without_line_end(contents(path).decode())
    except (OSError, UnicodeError) as error:
        raise NotAllowed(f"{path}: {getattr(error, 'strerror', None) or 'is no text in UTF-8'}") from error
    if ":" not in login or not login.isprintable():
        raise NotAllowed(f"{path}: is no line NAME:PASSWORD")
    return login


def keys_file(settings: Settings) -> Path | None:
    """Return the file with the encryption keys, where they are in one; the default one only where it exists."""
    path = settings.encryption_keys_file
    if settings.encryption_keys is not None or path is None:
        return None
    try:
        there = settings.origins.get("encryption_keys_file") != "default" or path.exists()
    except OSError as error:
        raise NotAllowed(f"{path}: {error.strerror}", _KEYS_HINT) from error
    return path if there else None


def read_keys_file(path: Path) -> str:
    """Return the text of a file with encryption keys. Raises NotAllowed for one that others can read, and for none."""
    try:
        require_private(path)
        return contents(path).decode("ascii")
    except (OSError, UnicodeError) as error:
        raise NotAllowed(f"{path}: {getattr(error, 'strerror', None) or 'not a keys file'}", _KEYS_HINT) from error


def require_private(path: Path) -> None:
    """Raise NotAllowed for a file with secrets that others can read, OSError for none.

    Not for what systemd and Docker put before a service: the mode there is theirs (the group's bits may stand for an
    access list, and Docker's are 0444), and it is the folder, or the container, that keeps others out.
    """
    if os.name == "posix" and path.stat().st_mode & 0o077 and not _is_handed_over(path):
        raise NotAllowed(f"{path} can be read by others", f"chmod 600 {path}")


def _is_handed_over(path: Path) -> bool:
    own = os.environ.get("CREDENTIALS_DIRECTORY")
    folders = (*HANDED_OVER, *([Path(own)] if own else []))
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


_KEYS_HINT = "NOTIFYCTL_ENCRYPTION_KEYS_FILE names the file with the encryption keys"


def variable(name: str) -> str | None:
    """Return an environment variable that a fixture names; None where it is not set, or empty."""
    return os.environ.get(name) or None


def outside_environment() -> dict[str, str]:
    """Return the environment without what configures notifyctl, for commands that shall not be configured by it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NOTIFYCTL_")}
