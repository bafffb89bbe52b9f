"""Declared layers: what does not fit is told when it is declared, and lineage has a bound."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from mainstem.codec import Decoder, Placed
from mainstem.errors import CodecError, ConfigurationError, InvalidQuery, Refused
from mainstem.layers import Below, Layer, Layers, LayersDesk, RawChange, raw_steps, rolled_by
from mainstem.layers import lineage as lineage_module
from mainstem.layers.raw import raw_change, raw_table
from mainstem.listener.binding import Binding
from mainstem.log.port import Topic
from mainstem.messages import NewRecord, Record
from mainstem.table import Table
from mainstem.view.projection import Rows
from mainstem.view.sqlite import SqliteViews


class Line(Struct, frozen=True):
    """Of the layer behind RAW; each is made of all raw changes of its key."""

    id: str
    key: str


RAW, LINE = Topic("raw"), Table("line", Line, key=("id",))
_RAW = Layer("raw", raw_steps(("event",), RAW))
_STEP: Binding[RawChange] = Binding("line", "raw", Decoder(RawChange), Rows(LINE, lambda raw: [Line(raw.id, raw.key)]))
_LINES = Layer("lines", (_STEP,), lambda row: [Below(raw_table("event"), {"key": row.key})])
LAYERS = Layers((_RAW, _LINES))


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    views = SqliteViews(tmp_path / "views.db")
    for layer in LAYERS.layers:
        for table in layer.tables:
            views.create(table)
    with views.transaction() as transaction:
        raws = [raw_change(Record("event", 0, n, "k", b"\xff" if n else b'{"n":1}', n)) for n in range(5)]
        transaction.add(raw_table("event"), raws)
        transaction.add(LINE, [Line("a", "k"), Line("b", "nobody")])
    yield views
    views.close()


def test_a_step_that_hears_another_topic_than_the_layer_before_says() -> None:
    deaf: Binding[Any] = Binding("deaf", "event", Decoder(RawChange), Rows(LINE, lambda _: ()))
    with pytest.raises(ConfigurationError, match=r"deaf of the layer lines hears 'event'; .* speaks on \['raw'\]"):
        Layers((_RAW, Layer("lines", (deaf,))))


def test_names_and_steps_that_do_not_fit() -> None:
    mute: Binding[Any] = Binding("mute", "raw", Decoder(RawChange), emit=lambda _: (), out=(RAW,))
    with pytest.raises(ConfigurationError, match="keeps no table"):
        Layer("lines", (mute,))
    with pytest.raises(ConfigurationError, match="has no step"):
        Layer("lines", ())
    with pytest.raises(ConfigurationError, match="names of their own"):
        Layers((_RAW, _RAW))


def test_a_row_leads_down_to_what_it_was_made_of(views: SqliteViews) -> None:
    one, other = LayersDesk(LAYERS, views).lineage("lines", [], limit=10)
    assert [each.row["offset"] for each in one.made_of] == [0, 1, 2, 3, 4]
    assert [each.row["value"] for each in one.made_of][:2] == [{"n": 1}, "/w=="]  # JSON as such, else base64
    assert (other.key, other.made_of, other.more) == ("b", [], False)


def test_an_answer_has_a_bound(views: SqliteViews, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = LayersDesk(LAYERS, views)
    (page,) = desk.lineage("lines", ["id=a"], limit=2)
    assert (len(page.made_of), page.more) == (2, True)
    (rest,) = desk.lineage("lines", ["id=a"], limit=5, behind=page.made_of[-1].key)
    assert ([each.row["offset"] for each in rest.made_of], rest.more) == ([2, 3, 4], False)
    monkeypatch.setattr(lineage_module, "ROWS_MAX", 3)
    (cut, _) = desk.lineage("lines", [], limit=10)
    assert (len(cut.made_of), cut.more) == (2, True)


@pytest.mark.parametrize(
    ("layer", "where", "limit"),
    [("lines", ["no=1"], 1), ("lines", ["id"], 1), ("raw", ["offset=x"], 1), ("lines", [], 0)],
)
def test_what_cannot_be_asked(views: SqliteViews, layer: str, where: list[str], limit: int) -> None:
    with pytest.raises(InvalidQuery):
        LayersDesk(LAYERS, views).lineage(layer, where, limit=limit)


def test_a_layer_that_there_is_not(views: SqliteViews) -> None:
    with pytest.raises(Refused, match="no layer 'nowhere'; known are raw"):
        LayersDesk(LAYERS, views).lineage("nowhere", [], limit=1)


def test_an_application_without_layers(views: SqliteViews) -> None:
    assert LayersDesk(None, views).list() == []
    with pytest.raises(Refused, match="MAINSTEM_LAYERS"):
        LayersDesk(None, views).lineage("raw", [], limit=1)


def test_a_placed_message_knows_its_record() -> None:
    placed: Placed[RawChange] = Placed(Any, lambda record: (raw_change(record),))
    records = [Record("event", 3, offset, "k", b"x", 7) for offset in (5, 9)]
    messages, numbers = placed.of(records)
    assert [message.id for message in messages] == ["event/0003/0000000000000005", "event/0003/0000000000000009"]
    assert list(numbers) == [0, 1]
    assert [message.value for message in placed.spread([b"a"])[0]] == [b"a"]


def test_a_message_counts_in_each_grain_once() -> None:
    decoder = rolled_by(Line, lambda _: 90_061_000)
    messages, numbers = decoder.of([Record("line", 2, 0, "k", b'{"id":"1","key":"k"}', 0)])
    begins = [(each.grain, each.begin_ms, each.shard) for each in messages]
    assert begins == [("minute", 90_060_000, 2), ("hour", 90_000_000, 2), ("day", 86_400_000, 2)]
    assert list(numbers) == [0, 0, 0]
    with pytest.raises(CodecError):
        decoder.spread([b"{}"])


def test_raw_is_named_by_its_place() -> None:
    (step,) = raw_steps(("event",), RAW)
    assert step.emit is not None
    (said,) = step.emit(raw_change(Record("event", 1, 2, "k", None, 3)))
    assert isinstance(said, NewRecord)
    assert (said.identity, said.key, said.timestamp_ms) == ("event/0001/0000000000000002", "k", 3)
