"""Cards whose events an older release has stored, in a file of its schema."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from bank.card import CARD, DEBIT_CARD, CardBlocked, CardOpened, UnblockCard
from bank.main import application
from mainstem import AsOf, EventReader
from mainstem.assembly import embedded
from mainstem.cli import app
from mainstem.eventstore import sqlite as store
from mainstem.eventstore import sqlite_schema as schema_of
from mainstem.settings import Settings
from mainstem.sqlite import prepare, table_definition

_INSERT = "INSERT INTO event VALUES (?, 'debit_card-anna', ?, ?, ?, 5, 5, 'teller', NULL)"
_OLDER = (
    ("CardOpened", '{"type":"CardOpened","limit":"500.00"}'),
    ("CardBlocked", '{"type":"CardBlocked","reason":"lost"}'),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Events as the first schema has them, without a column for their own schema version."""
    prepare(tmp_path / "events.db", "events", schema_of.MIGRATIONS[:1])
    connection = apsw.Connection(str(tmp_path / "events.db"))
    connection.execute(table_definition(DEBIT_CARD))
    connection.execute("INSERT INTO debit_card VALUES ('anna', '500.00', '0.00', 'blocked', 2, 5)")
    for version, (name, payload) in enumerate(_OLDER, 1):
        connection.execute(_INSERT, (version, version, name, payload))
    connection.close()
    return tmp_path


def test_an_older_card_goes_on(folder: Path) -> None:
    """Fold, listener, history; the version that is expected is the stored one; the stored bytes stay."""
    with embedded(application, Settings(data_dir=folder, topic_partitions=1)) as running:
        answer = running.commands.execute(UnblockCard(card="anna"))
        assert answer.position.version == 3
        assert running.settle()
        history = list(EventReader(CARD.events).history(running.events, "debit_card-anna", AsOf(version=2)))
        assert [event for _, event in history] == [CardOpened(limit=Decimal("500.00")), CardBlocked(note="lost")]
        stored = running.events.read("debit_card-anna")
        assert [each.payload.decode() for each in stored][:2] == [payload for _, payload in _OLDER]
        assert [each.schema_version for each in stored] == [1, 1, 1]
        assert all(hop.parked == 0 and hop.trouble is None for hop in running.hops())


@pytest.mark.parametrize(("kind", "code"), [("CardBlocked", 0), ("CardSwallowed", 1)])
def test_a_check_finds_what_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int) -> None:
    """Ahead of time: the file keeps the older release's schema."""
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(folder))
    connection = apsw.Connection(str(folder / "events.db"))
    connection.execute(_INSERT, (3, 3, kind, f'{{"type":"{kind}","reason":"x"}}'))
    found = CliRunner().invoke(app, ["events", "check"])
    assert found.exit_code == code, found.output
    assert ("All 3 events can be read" if code == 0 else "debit_card-anna 3: event CardSwallowed 1") in found.output
    assert connection.pragma("user_version") == 1
    connection.close()


@pytest.mark.parametrize("schema", range(1, len(schema_of.MIGRATIONS) + 1))
def test_a_file_of_each_schema_is_read_as_it_is(tmp_path: Path, schema: int) -> None:
    """What is only looked at is not brought forward."""
    path = tmp_path / "events.db"
    prepare(path, "events", schema_of.MIGRATIONS[:schema])
    connection = apsw.Connection(str(path))
    row = ("debit_card-anna", 1, *_OLDER[0], 5, 5, "teller", "c-1")
    connection.execute(f"INSERT INTO event ({schema_of.PLACE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    if schema >= schema_of.TAGGED_SINCE:
        connection.execute("INSERT INTO event_tag VALUES ('customer:c-1', 1, 'debit_card-anna', 1)")
    connection.close()
    with closing(store.SqliteEventReader(path)) as reader:
        (found,) = reader.read("debit_card-anna")
        assert [[found]] == list(reader.read_all())
        tagged = [found] if schema >= schema_of.TAGGED_SINCE else []
        assert [each.event for each in reader.read_tagged("customer:c-1")] == tagged
    assert (found.correlation_id, found.schema_version, found.causation_id) == ("c-1", 1, None)


def test_schemas_are_compared(tmp_path: Path) -> None:
    """With itself there is no change; an event that is gone breaks."""
    printed = CliRunner().invoke(app, ["events", "schema"]).output
    older = tmp_path / "older.json"
    older.write_text(printed)
    same = CliRunner().invoke(app, ["events", "schema", "--against", str(older)])
    assert (same.exit_code, same.output) == (0, "0 changes, 0 breaking\n")
    older.write_text(printed.replace('"name": "CardClosed"', '"name": "CardShut"'))
    gone = CliRunner().invoke(app, ["events", "schema", "--against", str(older)])
    assert gone.exit_code == 1
    assert "breaking: debit_card CardShut 1: is removed, and no upcaster leads on from it" in gone.output
