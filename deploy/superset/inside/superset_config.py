"""Superset's configuration, read by Superset itself, of both forms.

The environment says where things are: SUPERSET_HOME is the folder of its own database, SUPERSET_KEY_FILE has the key
that sessions are signed with. BANK_FACTS, where there is DuckDB, is the folder of the copy of the facts.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from superset.config import TALISMAN_CONFIG

SECRET_KEY = Path(os.environ["SUPERSET_KEY_FILE"]).read_text().strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{Path(os.environ['SUPERSET_HOME']) / 'superset.db'}"

# Nothing is asked again for what was answered a moment ago: charts are as fresh as their source.
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}

SESSION_COOKIE_SAMESITE = "Strict"
AUTH_RATE_LIMIT = "10 per minute"

# The pages ask a server elsewhere for a picture, by which use is counted, and maps: they are not to.
_POLICY = TALISMAN_CONFIG["content_security_policy"]
_POLICY["img-src"] = ["'self'", "blob:", "data:"]
_POLICY["connect-src"] = ["'self'"]

_FACTS = os.environ.get("BANK_FACTS")


def _open_copy(connection: Any, _: object) -> None:
    """A view of the copied facts in DuckDB's empty database, which reaches no other files, and keeps its settings."""
    if not type(connection).__module__.startswith("duckdb_engine") or _FACTS is None:
        return
    facts = _FACTS.replace("'", "''")
    cursor = connection.cursor()
    for statement in (
        f"SET allowed_directories = ['{facts}/']",
        "SET enable_external_access = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET lock_configuration = true",
        'CREATE VIEW "bankapp" AS SELECT facts.*, copied."copied_at"'
        f" FROM read_parquet('{facts}/facts/*.parquet') AS facts"
        f" CROSS JOIN read_parquet('{facts}/copied.parquet') AS copied",
    ):
        cursor.execute(statement)
    cursor.close()


def SQL_QUERY_MUTATOR(sql: str, **given: Any) -> str:  # noqa: N802 - Superset's name
    """The same statement; of DuckDB, only where it is a question: a COPY is one to Superset, and writes files."""
    if given["database"].backend == "duckdb":
        import duckdb

        with duckdb.connect() as parser:
            kinds = {each.type for each in parser.extract_statements(sql)}
        if kinds - {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}:
            raise PermissionError("only questions are answered here")
    return sql


def _open_own(connection: Any, _: object) -> None:
    """Superset's own database: a write waits for the disk at checkpoints alone, and for no reader."""
    if type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")


event.listen(Engine, "connect", _open_own)
event.listen(Engine, "connect", _open_copy)
