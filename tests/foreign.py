"""A client of a SQLite file that is not mainstem: the standard library's, in a process of its own.

In a process of its own, because two SQLite libraries in one process undo each other's file locks.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """
import json, sqlite3, sys
path, commit, statements = json.load(sys.stdin)
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA busy_timeout = 10000")
connection.execute("BEGIN IMMEDIATE")
for sql, values in statements:
    connection.execute(sql, [bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for v in values])
connection.execute("COMMIT" if commit else "ROLLBACK")
connection.close()
"""
_PATIENCE_S = 30


class ForeignClient:
    """Gathers the statements of one transaction."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, list[object]]] = []

    def execute(self, sql: str, *values: object) -> None:
        """Add a statement; blobs are given as bytes."""
        self.statements.append((sql, [{"hex": v.hex()} if isinstance(v, bytes) else v for v in values]))


def run(path: Path, client: ForeignClient, *, commit: bool = True) -> None:
    """Carry the statements out in one transaction. Raises AssertionError with what the client said where it fails."""
    text = json.dumps([str(path), commit, client.statements])
    words = [sys.executable, "-c", _PROGRAM]
    ended = subprocess.run(words, input=text, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stderr


@contextmanager
def foreign_client(path: Path) -> Iterator[ForeignClient]:
    """A transaction that commits at the end, and rolls back where the block raises."""
    client = ForeignClient()
    try:
        yield client
    except BaseException:
        run(path, client, commit=False)
        raise
    run(path, client)
