"""The bytes of captured changes: what a plain reader makes of what the triggers wrote, one row after the other."""

import math
from collections import Counter
from importlib.metadata import version
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.cdc.port import Captured, Outbox
from mainstem.cdc.sqlite import MARK_TRANSACTION, SqliteCapture
from mainstem.messages import Change, NewRecord, Source, Transaction

TABLES = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price DECIMAL_TEXT(18,2));
CREATE TABLE pair (x, y, v, PRIMARY KEY (x, y));
CREATE TABLE bare (a, b);
CREATE TABLE fact (n INTEGER PRIMARY KEY, stream TEXT, content TEXT, at_ms INTEGER, more);
"""
_FACT = Outbox(key="stream", payload="content", timestamp="at_ms", columns=("more", "n"))
CAPTURED = [*map(Captured, ("item", "pair", "bare")), Captured("fact", "facts", _FACT)]
_PRICES = {
    "1.00": "1.00",
    "2.5": "2.50",
    "3": "3.00",
    "1.005": "1.005",
    "x.yz": "x.yz",
    "١.٠٠": "١.٠٠",
    "1.e1": "10.00",
}
"""As they are stored, and as they go."""


@pytest.fixture
def writer(writer: apsw.Connection) -> apsw.Connection:
    """Of many small transactions, which need not last."""
    writer.execute("PRAGMA synchronous = OFF")
    return writer


def test_the_bytes_of_a_change_and_of_a_message(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute("BEGIN IMMEDIATE")
    writer.execute(MARK_TRANSACTION)
    writer.execute("INSERT INTO item VALUES (1, 'a \"pen\"' || char(10), '1.5')")
    writer.execute("INSERT INTO fact VALUES (1, 's-1', '{\"type\":\n\"Sold\"}', 77, NULL)")
    writer.execute("UPDATE item SET id = 2")
    writer.execute(MARK_TRANSACTION)
    writer.execute("COMMIT")
    times = [ts_ms for (ts_ms,) in writer.execute("SELECT ts_ms FROM mainstem_change ORDER BY pos")]
    file, row = capture.history, rb'"name":"a \"pen\"\n","price":"1.50"}'

    def source(pos: int, part: int, order: int) -> bytes:
        return (
            f'"source":{{"connector":"sqlite","name":"shop","ts_ms":{times[pos - 1]},"db":"shop","table":"item",'
            f'"file":"{file}","pos":{pos},"row":{part},"snapshot":"false","version":"{version("mainstem")}","gtid":null}},'
            f'"ts_ms":{times[pos - 1]},"transaction":{{"id":"{file}:1","total_order":{order},'
            f'"data_collection_order":{order}}}}}'
        ).encode()

    found = {each.identity: each for each in capture.read(0, 10).records}
    assert {identity: each.value for identity, each in found.items()} == {
        f"{file}:000000000001:000": b'{"op":"c","before":null,"after":{"id":1,' + row + b"," + source(1, 0, 1),
        f"{file}:000000000002:000": b'{"more":null,"n":1,"payload":{"type":\n"Sold"}}',
        f"{file}:000000000003:000": b'{"op":"d","before":{"id":1,' + row + b',"after":null,' + source(3, 0, 2),
        f"{file}:000000000003:001": b'{"op":"c","before":null,"after":{"id":2,' + row + b"," + source(3, 1, 2),
    }
    message = found[f"{file}:000000000002:000"]
    assert (message.topic, message.key, message.timestamp_ms) == ("facts", "s-1", 77)


_KEY = st.sampled_from([1, 1.0, "1", b"1", 2, "ä\n", -0.5, math.inf])
_VALUE = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text().filter(lambda text: "\0" not in text),
    st.binary(max_size=9),
)
_STATEMENTS = st.one_of(
    st.tuples(
        st.just("INSERT OR REPLACE INTO item VALUES (?, ?, ?)"), st.integers(1, 3), _VALUE, st.sampled_from([*_PRICES])
    ),
    st.tuples(st.just("UPDATE item SET id = id + ? WHERE id = ?"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("DELETE FROM item WHERE id = ?"), st.integers(1, 3)),
    st.tuples(st.just("INSERT OR IGNORE INTO pair VALUES (?, ?, ?)"), _KEY, _KEY, _VALUE),
    st.tuples(st.just("UPDATE OR IGNORE pair SET x = ?, v = ?"), _KEY, _VALUE),
    st.tuples(st.just("INSERT INTO bare VALUES (?, ?)"), _VALUE, _VALUE),
    st.tuples(st.just("UPDATE bare SET b = ?"), _KEY),
    st.tuples(st.just("DELETE FROM bare WHERE b = ?"), _KEY),
    st.tuples(
        st.just('INSERT INTO fact VALUES (NULL, ?, \'{"a": 1,\n "b": 2}\', ?, ?)'),
        st.text("ab", min_size=1),
        st.integers(0, 9),
        _VALUE,
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    transactions=st.lists(st.lists(_STATEMENTS, max_size=6), max_size=4), marked=st.booleans(), limit=st.integers(1, 9)
)
def test_records_are_what_a_plain_reader_makes_of_the_rows(
    capture: SqliteCapture, writer: apsw.Connection, transactions: list[list[Any]], marked: bool, limit: int
) -> None:
    """Whatever the page's size, though a page is read shape by shape and encoded at once."""
    begin, _ = capture.bounds()
    for statements in transactions:
        writer.execute("BEGIN IMMEDIATE")
        for sql, *values in [*[[MARK_TRANSACTION]] * marked, *statements, *[[MARK_TRANSACTION]] * marked]:
            try:
                writer.execute(sql, values)
            except apsw.ConstraintError:
                continue
        writer.execute("COMMIT")
    expected = _plain(writer, capture.history)
    position = begin
    found: list[NewRecord] = []
    while (batch := capture.read(position, limit)).position > position:
        found += batch.records
        position = batch.position
    for topic in ("item", "pair", "bare", "facts"):
        assert [each for each in found if each.topic == topic] == [each for each in expected if each.topic == topic]
    assert len(found) == len(expected)
    capture.release(position)


def _plain(connection: apsw.Connection, file: str) -> list[NewRecord]:
    sql = "SELECT s.shape, c.* FROM mainstem_change AS c JOIN mainstem_shape AS s ON s.id = c.shape ORDER BY pos"
    rows: list[Any] = connection.execute(sql).fetchall()
    orders: dict[str, Counter[str]] = {}
    records = []
    for row in rows:
        _, pos, tx, ts_ms, _, op, *values = row
        shape = msgspec.json.decode(row[0])
        name = f"{file}:{tx}" if tx % 2 else f"{file}:{tx}:{ts_ms}"
        table, key = shape["table"], shape["key"]
        old, new = (
            {c: _form(table, c, v) for c, v in zip(shape["types"], values[at::2], strict=False)} for at in (0, 1)
        )
        plain_old, plain_new = (dict(zip(shape["types"], values[at::2], strict=False)) for at in (0, 1))
        if table == "fact":
            value = msgspec.json.encode(
                {"more": new["more"], "n": new["n"], "payload": msgspec.Raw(new["content"].encode())}
            )
            at_ms, identity = new["at_ms"], f"{file}:{pos:012d}:000"
            records.append(
                NewRecord(topic="facts", key=new["stream"], value=value, timestamp_ms=at_ms, identity=identity)
            )
            continue
        order = orders.setdefault(name, Counter())
        order[table] += 1
        place = Transaction(id=name, total_order=order.total(), data_collection_order=order[table])
        keys = [[values_of[c] for c in key or shape["types"]] for values_of in (plain_old, plain_new)]
        moved = [(type(each), each) for each in keys[0]] != [(type(each), each) for each in keys[1]]
        parts: list[tuple[Any, Any, Any, list[Any]]] = [
            (op, old if op in "ud" else None, new if op != "d" else None, keys[op != "d"])
        ]
        if op == "u" and moved:
            parts = [("d", old, None, keys[0]), ("c", None, new, keys[1])]
        for part, (op_, before, after, own) in enumerate(parts):
            source = Source(
                connector="sqlite",
                name="shop",
                ts_ms=ts_ms,
                db="shop",
                table=table,
                file=file,
                pos=pos,
                row=part,
                version=version("mainstem"),
            )
            change = Change(op=op_, before=before, after=after, source=source, ts_ms=ts_ms, transaction=place)
            plain = len(own) == 1 and not isinstance(own[0], bytes)
            records.append(
                NewRecord(
                    topic=table,
                    key=str(own[0]) if plain else msgspec.json.encode(own).decode(),
                    value=msgspec.json.encode(change),
                    timestamp_ms=ts_ms,
                    identity=f"{file}:{pos:012d}:{part:03d}",
                )
            )
    return records


def _form(table: str, column: str, value: Any) -> Any:
    if (table, column) == ("item", "price"):
        return _PRICES.get(value, value)
    return str(value) if isinstance(value, float) and math.isinf(value) else value
