"""What DuckDB is asked, checked before it runs: one SELECT that only reads.

The engine's own parser is the judge. Its statement type alone is not enough: an INSERT in a WITH clause is a SELECT to
it, and some table functions take raw memory addresses or run SQL of their own. So the parsed tree is searched too.
"""

from typing import Any

import duckdb
import msgspec

from mainstem.errors import InvalidQuery

_SQL_MAX = 100_000
_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})


def check_select(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises InvalidQuery where the text is anything but one SELECT, and DuckDB's errors where it does not parse."""
    if len(sql) > _SQL_MAX:
        raise InvalidQuery(f"the statement is longer than {_SQL_MAX} characters")
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidQuery("only a single SELECT is answered")
    row = cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    try:
        tree = msgspec.json.decode(row[0] if row else b"")
    except (RecursionError, msgspec.DecodeError) as error:
        raise InvalidQuery("the statement is nested too deeply") from error
    if tree.get("error"):
        raise InvalidQuery(f"only a single SELECT is answered: {tree.get('error_message')}")
    _check_tree(tree)


def _check_tree(tree: Any) -> None:
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            _check_node(found)
            waiting += found.values()


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):
        return
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise InvalidQuery("a SELECT only reads; there is a part in it that writes")
    if kind == "TABLE_FUNCTION":
        name = node["function"].get("function_name", "")
        if name.lower() not in _TABLE_FUNCTIONS:
            raise InvalidQuery(f"the table function {name} is not allowed; known are {sorted(_TABLE_FUNCTIONS)}")
