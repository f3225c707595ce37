"""The functions by which SQL submits, as the newest migration makes them: what a database is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

import notifyctl
from notifyctl.core.migration import Difference
from notifyctl.store.db.dialect import POSTGRESQL, Dialect

SOURCE = "0001_submit.sql"
_ONE = re.compile(r"CREATE FUNCTION \{schema\}\.(\w+)\(.*?\$body\$.*?\$body\$", re.S)
_HEAD = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION (.*?)AS \$\w+\$(.*)\$\w+\$$", re.S)
_CAST = re.compile(r"::[a-z ]+")


class StoredFunction(NamedTuple):
    """A function as a database has it; `public`: everybody may execute it."""

    name: str
    schema: str
    definition: str
    public: bool


def migrations() -> Path:
    """Return the folder of the migrations, in the wheel or in the repository."""
    package = Path(notifyctl.__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def expected() -> dict[str, str]:
    """Return what makes each function, by its name; `{schema}` stands for the schema's name."""
    text = (migrations() / "functions" / SOURCE).read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ONE.finditer(text)}


def stored(conn: Connection, dialect: Dialect) -> list[StoredFunction]:
    """Return the functions in the schema of the tables that may be ours; SQLite has none."""
    if dialect is not POSTGRESQL:
        return []
    rows = conn.exec_driver_sql(
        "SELECT p.proname, quote_ident(n.nspname), pg_get_functiondef(p.oid), EXISTS ("
        "  SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a"
        "  WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = current_schema() AND p.prokind = 'f' AND starts_with(p.proname, 'notifyctl_')"
        " ORDER BY p.proname, p.oid"
    )
    return [StoredFunction(*row) for row in rows]


def differences(found: Sequence[StoredFunction]) -> Iterator[Difference]:
    """Yield what a database lacks, has otherwise, or lets everybody execute."""
    known = expected()
    for name in sorted(known.keys() - {each.name for each in found}):
        yield Difference(name, "missing: function")
    for each in found:
        told = known.get(each.name, "").replace("{schema}", each.schema)
        if not told:
            continue  # somebody's own
        if _bare(each.definition) != _bare(told):
            yield Difference(each.name, "another function")
        if each.public:
            yield Difference(each.name, "unexpected: everybody (PUBLIC) may execute it")


def open_to_all(found: Sequence[StoredFunction]) -> list[str]:
    """Return the names of those of ours that everybody may execute."""
    known: Mapping[str, str] = expected()
    return sorted(each.name for each in found if each.public and each.name in known)


def _bare(definition: str) -> str:
    """Return a definition without what is the server's way to write it."""
    head = _HEAD.match(definition.strip())
    if head is None:
        return definition
    return f"{' '.join(_CAST.sub('', head[1]).split())} {' '.join(head[2].split())}"
