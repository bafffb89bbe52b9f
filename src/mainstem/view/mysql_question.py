"""A question to a view as MySQL is asked it."""

from decimal import Decimal
from typing import Any

from mainstem.mysql import quoted
from mainstem.mysql_rows import behind, column_names
from mainstem.table import Table
from mainstem.view.question import Question


def statement_of(table: Table[Any], asked: Question, *, descending: bool) -> tuple[str, list[Any]]:
    """The statement, and what is bound before its limit."""
    conditions = [f"{quoted(name)} <=> %s" for name, _ in asked.where]
    values = [exact(table, name, value) for name, value in asked.where]
    if asked.after is not None:
        begin = [exact(table, name, value) for name, value in zip(asked.order, asked.after, strict=True)]
        condition, more = behind(asked.order, begin, descending)
        conditions.append(condition)
        values += more
    direction = " DESC" if descending else ""
    sql = f"SELECT {column_names(table)} FROM {quoted(table.name)}"
    if conditions:
        sql += f" WHERE {' AND '.join(conditions)}"
    sql += f" ORDER BY {', '.join(quoted(name) + direction for name in asked.order)} LIMIT %s"
    return sql, values


def exact(table: Table[Any], name: str, value: Any) -> Any:
    """A decimal as a number: compared with text, MySQL would make a double of it."""
    kind = next(column.kind for column in table.columns if column.name == name)
    return Decimal(value) if kind == "decimal" and value is not None else value
