"""Where the secrets of fixtures are: environment variables and files, which are relative to the fixture's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from notifyctl.cli.prompt import forget
from notifyctl.cli.secretfile import write_secret
from notifyctl.config import contents, expanded, variable
from notifyctl.core.apikey import ApiKey
from notifyctl.core.errors import CommitUnknown, NotifyctlError, UsageError
from notifyctl.core.fixtures.types import SecretRef


class FixtureSecrets:
    """Reads secrets, each once; `new_key` makes a key. With `dry` a file that is to be made is made in memory."""

    def __init__(self, new_key: Callable[[], ApiKey], *, dry: bool) -> None:
        self._new_key, self._dry = new_key, dry
        self._known: dict[str, str | None] = {}

    def text(self, ref: SecretRef) -> str | None:
        """Return the secret, without blanks around it; None where there is none. Raises UsageError."""
        name = self._name(ref)
        if name not in self._known:
            self._known[name] = variable(ref.env) if ref.env else _content(_path(ref))
        found = self._known[name]
        return (found.strip() or None) if found is not None else None

    def _name(self, ref: SecretRef) -> str:
        return str(ref) if ref.env else str(_path(ref))

    @contextmanager
    def making(self, refs: Sequence[SecretRef]) -> Iterator[None]:
        """Put a new API key into each of these files.

        They stay unless it is sure that nothing was done: the next run takes the key of a file that is there.
        """
        made: list[Path] = []
        try:
            for ref in refs:
                key = self._new_key()
                if not self._dry:
                    write_secret(_path(ref), key.secret)
                    made.append(_path(ref))
                self._known[self._name(ref)] = key.secret
            yield
        except CommitUnknown:
            raise
        except NotifyctlError:
            for path in made:
                forget(str(path))
            raise


def _path(ref: SecretRef) -> Path:
    path = expanded(str(ref.file))
    if ref.place is None or ref.place.file == "-" or path.is_absolute():
        return path
    return Path(ref.place.file).parent / path


def _content(path: Path) -> str | None:
    try:
        return contents(path, "secret: ").decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or 'is no text in UTF-8'}") from error
