"""The bank's layers: each agrees with the event store, and every figure leads down to the changes that made it."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from msgspec.structs import replace as changed
from typer.testing import CliRunner

from bank.access import CARDS_CLAIM, WHO_MAY
from bank.card import BlockCard, ChangeLimit, OpenCard, Repay, Withdraw
from bank.layers import LAYERS
from bank.layers.aggregated import AGGREGATED, Addition
from bank.layers.aggregated import TOPIC as ADDITIONS
from bank.layers.cleansed import CLEANSED
from bank.layers.curated import CURATED
from bank.layers.integrated import INTEGRATED
from bank.layers.sums import layers_agree, sums_of_events, sums_of_layers
from bank.main import application, web
from bank.simulation import simulation
from mainstem import EVENT_TOPIC, Decoder, NewRecord, Refused, Topic, scan
from mainstem.assembly import Embedded, embedded
from mainstem.assembly.metrics import samples_of
from mainstem.assembly.places import raw_folder
from mainstem.cli.commands import app
from mainstem.layers import LayersDesk, Traced, raw_id
from mainstem.layers.archive import RawArchive
from mainstem.layers.raw import raw_table
from mainstem.query.access import access_of
from mainstem.rebuild import Rebuilds
from mainstem.settings import Settings
from mainstem.testing import FakeClock
from mainstem.testing.simulation import simulate

_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
_PATIENCE_S = 60.0
_NOON_MS = 1_700_000_000_000 - 1_700_000_000_000 % _DAY_MS + _DAY_MS // 2


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(_NOON_MS)


@pytest.fixture(params=["sqlite", "duckdb"])
def running(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Embedded]:
    settings = Settings(data_dir=tmp_path / "data", layers=True, views=request.param)
    with embedded(application, settings, clock_ms=clock) as running:
        yield running


def _ask(running: Embedded, *commands: Any) -> None:
    for command in commands:
        try:
            running.commands.execute(command)
        except Refused:
            continue


def _some(running: Embedded, clock: FakeClock) -> None:
    """Of one minute, and of the next."""
    _ask(
        running,
        OpenCard(card="anna", limit=Decimal(100), customer="c-1"),
        Withdraw(card="anna", amount=Decimal("12.50"), merchant="  Corner   BAKERY"),
        Withdraw(card="anna", amount=Decimal(500)),
        Withdraw(card="nobody", amount=Decimal(1)),
    )
    clock.advance(s=60)
    _ask(
        running,
        ChangeLimit(card="anna", limit=Decimal(200)),
        Withdraw(card="anna", amount=Decimal(30)),
        Repay(card="anna", amount=Decimal("2.25")),
        BlockCard(card="anna", reason="lost"),
        Withdraw(card="anna", amount=Decimal(1)),
    )
    assert running.settle(_PATIENCE_S)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def _lineage(running: Embedded, layer: str, *where: str, limit: int = 100, behind: str | None = None) -> list[Traced]:
    return [*LayersDesk(running.application.layers, running.views).lineage(layer, where, limit=limit, behind=behind)]


def test_every_layer_agrees_with_the_events(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    expected = {"withdrawal": (2, 4250), "repayment": (1, 225), "refusal": (3, 50_200)}
    assert sums_of_events(running.events) == expected
    assert sums_of_layers(running.views) == {
        **dict.fromkeys(("curated", "integrated", "minute", "hour", "day"), expected)
    }
    assert [*layers_agree(running)] == []


def test_a_fact_goes_with_what_belonged_to_it_then(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    found = {(row.fact, row.cents, row.reason): row for row in running.views.scan(INTEGRATED)}
    first, second = found["withdrawal", 1250, ""], found["withdrawal", 3000, ""]
    assert (first.customer, first.limit_cents, first.status) == ("c-1", 10_000, "active")
    assert first.merchant == "corner bakery"
    assert (second.customer, second.limit_cents, second.merchant) == ("c-1", 20_000, None)
    refused = {row.reason: row.customer for row in found.values() if row.fact == "refusal"}
    assert refused == {"insufficient-balance": "c-1", "card-unknown": None, "card-blocked": "c-1"}


def test_a_figure_leads_down_to_the_changes_as_they_came(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    (figure,) = _lineage(running, "aggregated", "grain=day", "fact=withdrawal")
    assert figure.row["cents"] == 4250 == sum(each.row["cents"] for each in figure.made_of)
    events = {(r.topic, r.partition, r.offset): r.value for page in scan(running.log, EVENT_TOPIC) for r in page}
    for each in figure.made_of:
        (fact,) = each.made_of
        (clean,) = fact.made_of
        (raw,) = clean.made_of
        assert [each.layer, fact.layer, clean.layer, raw.layer] == ["integrated", "curated", "cleansed", "raw"]
        place = raw.row["topic"], raw.row["partition"], raw.row["offset"]
        assert raw.row["value"]["stream"] == "debit_card-anna"
        (stored,) = running.views.get(raw_table(EVENT_TOPIC), [(raw.key,)]).values()
        assert stored.value == events[place]


def test_raw_keeps_every_change_that_is_captured(running: Embedded, clock: FakeClock) -> None:
    """The changes of the cards' rows too, of which nothing is made: as they came, and as files."""
    _some(running, clock)
    captured = [each.topic for each in application.all_captured()]
    assert captured == list(LAYERS.sources)
    assert "debit_card" in captured
    for topic in captured:
        records = {raw_id(topic, r.partition, r.offset): r for page in scan(running.log, topic) for r in page}
        rows = {row.id: row for row in running.views.scan(raw_table(topic))}
        assert {name: (row.key, row.value) for name, row in rows.items()} == {
            name: (record.key, record.value) for name, record in records.items()
        }
        assert rows
    change = _lineage(running, "raw", "topic=debit_card", "key=anna")[-1].row["value"]
    assert (change["before"]["status"], change["after"]["status"]) == ("active", "blocked")
    spoken = [record for page in scan(running.log, "layer-raw") for record in page]
    assert not [each for each in spoken if b'"topic":"debit_card"' in (each.value or b"")]
    archive = RawArchive(running.log, raw_folder(running.settings), LAYERS.sources)
    assert archive.step().records == sum(running.views.count(raw_table(topic)) for topic in captured)


def test_what_raw_has_lost_is_told(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    lost = sum(held.end for held in running.log.ranges("debit_card").values())
    running.log.create(Topic("debit_card", 4, retention_ms=1))
    running.log.apply_retention(time.time_ns() // 1_000_000 + _DAY_MS)
    folder = raw_folder(running.settings)
    RawArchive(running.log, folder, LAYERS.sources).step()
    raw, *others = LayersDesk(LAYERS, running.views, folder).list()
    assert {each.topic for each in raw.gone} == {"debit_card"}
    assert not any(each.gone for each in others)
    found = {each.labels: each.value for each in samples_of(running) if each.name == "mainstem_raw_gone"}
    assert found == {(("topic", "event"),): 0, (("topic", "refused_command"),): 0, (("topic", "debit_card"),): lost}


def test_the_lineage_of_a_figure_comes_in_pages(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    (whole,) = _lineage(running, "aggregated", "grain=day", "fact=withdrawal")
    (first,) = _lineage(running, "aggregated", "grain=day", "fact=withdrawal", limit=1)
    assert first.more
    (second,) = _lineage(running, "aggregated", "grain=day", "fact=withdrawal", limit=1, behind=first.made_of[0].key)
    assert [each.key for each in (*first.made_of, *second.made_of)] == [each.key for each in whole.made_of]
    assert not second.more


def test_a_late_fact_counts_when_it_happened(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    clock.now_ms = _NOON_MS - _DAY_MS  # as a clock that was set back, or an event that came late
    _ask(running, OpenCard(card="late", limit=Decimal(9)), Withdraw(card="late", amount=Decimal(7)))
    assert running.settle(_PATIENCE_S)
    days = {row.begin_ms: row.cents for row in running.views.scan(AGGREGATED) if _is(row, "day", "withdrawal")}
    assert days == {_NOON_MS - _DAY_MS // 2: 4250, _NOON_MS - 3 * _DAY_MS // 2: 700}
    assert [*layers_agree(running)] == []


def _is(row: Any, grain: str, fact: str) -> bool:
    return bool(row.grain == grain and row.fact == fact and row.facts)


def test_a_corrected_refusal_reaches_every_layer(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    with closing(sqlite3.connect(running.settings.data_dir / "events.db", isolation_level=None)) as other:
        other.execute("UPDATE refused_command SET reason = 'suspected' WHERE reason = 'card-blocked'")
    running.capture.wake()
    _until(lambda: _reasons(running, "minute").get("suspected") == 1)
    assert running.settle(_PATIENCE_S)
    assert _reasons(running, "day") == {"insufficient-balance": 1, "card-unknown": 1, "suspected": 1, "card-blocked": 0}
    assert sums_of_layers(running.views)["day"]["refusal"] == (3, 50_200)
    (gone,) = _lineage(running, "aggregated", "grain=day", "reason=card-blocked")
    assert [each.row["facts"] for each in gone.made_of] == [1, -1]


def _reasons(running: Embedded, grain: str) -> Counter[str]:
    found = Counter[str]()
    for row in running.views.scan(AGGREGATED):
        if row.grain == grain and row.fact == "refusal":
            found[row.reason] += row.facts
    return found


def _on_the_topic(running: Embedded) -> Counter[tuple[str, int, str, str]]:
    """What the additions come to, in each period."""
    found = Counter[tuple[str, int, str, str]]()
    for page in scan(running.log, ADDITIONS.name):
        for each in Decoder[Addition](Addition).many([record.value or b"" for record in page]):
            found[each.grain, each.begin_ms, each.fact, each.reason] += each.cents
    return +found


def _in_the_table(running: Embedded) -> Counter[tuple[str, int, str, str]]:
    found = Counter[tuple[str, int, str, str]]()
    for row in running.views.scan(AGGREGATED):
        found[row.grain, row.begin_ms, row.fact, row.reason] += row.cents
    return +found


def test_the_additions_on_the_topic_come_to_the_figures(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    clock.now_ms = _NOON_MS - _DAY_MS
    _ask(running, OpenCard(card="late", limit=Decimal(9)), Withdraw(card="late", amount=Decimal(7)))
    assert running.settle(_PATIENCE_S)
    found = _on_the_topic(running)
    assert found["day", _NOON_MS - 3 * _DAY_MS // 2, "withdrawal", ""] == 700
    assert found == _in_the_table(running)
    records = [record for page in scan(running.log, EVENT_TOPIC) for record in page]
    running.log.append([_new(record.key, record.value) for record in records])
    assert running.settle(_PATIENCE_S)
    assert _on_the_topic(running) == found


def test_what_comes_again_counts_once_above_raw(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    before = sums_of_layers(running.views), running.views.count(CLEANSED)
    records = [record for page in scan(running.log, EVENT_TOPIC) for record in page]
    running.log.append([_new(record.key, record.value) for record in records])
    assert running.settle(_PATIENCE_S)
    assert (sums_of_layers(running.views), running.views.count(CLEANSED)) == before
    assert running.views.count(raw_table(EVENT_TOPIC)) == 2 * len(records)


def test_what_breaks_a_rule_is_kept_with_the_reason_and_counted(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    bad = [
        ("readable", b"no JSON"),
        ("amount", _event(98, _NOON_MS, "-5.00")),
        ("time", _event(99, 2 * _NOON_MS, "5.00")),
    ]
    before = sums_of_layers(running.views)
    running.log.append([_new("debit_card-anna", value) for _, value in bad])
    _until(lambda: len(_rejected(running)) == len(bad))
    assert running.views.parked("layer-cleansed") == {}
    assert {row.rule for row in _rejected(running)} == {rule for rule, _ in bad}
    assert all(row.reason and row.origin for row in _rejected(running))
    running.settle(1)
    assert sums_of_layers(running.views) == before
    (layer,) = (each for each in LayersDesk(LAYERS, running.views).list() if each.layer == "cleansed")
    counted = {(each.source, each.rule): each.changes for each in layer.quality}
    assert {rule: counted[EVENT_TOPIC, rule] for rule, _ in bad} == {rule: 1 for rule, _ in bad}
    assert sum(counted.values()) == running.views.count(CLEANSED)
    (traced,) = _lineage(running, "cleansed", "rule=readable")
    assert traced.made_of[0].row["value"] == "no JSON"


def _new(key: str, value: bytes | None) -> NewRecord:
    return NewRecord(topic=EVENT_TOPIC, key=key, value=value, timestamp_ms=_NOON_MS)


def _event(version: int, at_ms: int, amount: str) -> bytes:
    return msgspec.json.encode(
        {
            "stream": "debit_card-anna",
            "version": version,
            "occurred_at_ms": at_ms,
            "recorded_at_ms": _NOON_MS,
            "actor": "x",
            "payload": {"type": "MoneyWithdrawn", "amount": amount},
        }
    )


def _rejected(running: Embedded) -> Sequence[Any]:
    return [row for row in running.views.scan(CLEANSED) if row.rule is not None]


@pytest.mark.parametrize("table", [table.name for layer in LAYERS.layers for table in layer.tables])
def test_a_layer_is_rebuilt_from_the_one_before(running: Embedded, clock: FakeClock, table: str) -> None:
    _some(running, clock)
    before = sums_of_layers(running.views)
    desk: Rebuilds = running.rebuilds
    desk.begin(table)

    def done() -> bool:
        (standing,) = (each for each in desk.list() if each.view == table)
        return standing.progress is not None and standing.progress.ended

    _until(done)
    (standing,) = (each for each in desk.list() if each.view == table)
    assert standing.progress is not None
    assert (standing.progress.state, standing.progress.error) == ("done", None)
    assert sums_of_layers(running.views) == before
    assert [*layers_agree(running)] == []


@pytest.mark.parametrize("seed", range(2))
def test_the_layers_agree_whatever_goes_wrong(seed: int) -> None:
    """Processes that die, changes that come again, members that overtake each other, rebuilds in the middle of it."""
    layered = replace(
        simulation,
        settings=changed(simulation.settings, layers=True),
        invariants=(*simulation.invariants, layers_agree),
    )
    assert simulate(layered, seed).commands


def test_lineage_over_http(running: Embedded, clock: FakeClock) -> None:
    _some(running, clock)
    served: Any = web(running, access_of(running.settings, WHO_MAY, owned_claim=CARDS_CLAIM))
    with TestClient(served, base_url="http://127.0.0.1:8080") as client:
        names = [each["layer"] for each in client.get("/layers").raise_for_status().json()]
        asked = {"where": "grain=day,fact=repayment"}
        answer = client.get("/layers/aggregated/lineage", params=asked).raise_for_status()
        wrong = client.get("/layers/aggregated/lineage", params={"where": "grain"})
        nowhere = client.get("/layers/nowhere/lineage")
        twice = client.get("/layers/aggregated/lineage", params={"where": "grain=day,grain=hour"})
    assert names == ["raw", "cleansed", "curated", "integrated", "aggregated"]
    assert [each["row"]["cents"] for each in answer.json()] == [225]
    assert answer.json()[0]["madeOf"][0]["madeOf"][0]["madeOf"][0]["madeOf"][0]["layer"] == "raw"
    assert "Mainstem-Position" in answer.headers
    assert [each.status_code for each in (wrong, nowhere, twice)] == [400, 404, 400]


def test_the_command_says_where_there_may_be_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds up what is shown is not to take it for all."""
    with embedded(application, Settings(data_dir=tmp_path / "data", layers=True)) as running:
        _ask(running, *(Withdraw(card=f"nobody-{number}", amount=Decimal(1)) for number in range(3)))
        assert running.settle(_PATIENCE_S)
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MAINSTEM_LAYERS", "true")
    more, whole = (CliRunner().invoke(app, ["lineage", "curated", "--limit", limit]) for limit in ("2", "4"))
    assert (more.exit_code, more.stderr) == (
        0,
        "The first 2 rows, of which there may be more: see --where and --limit.\n",
    )
    assert (whole.exit_code, whole.stderr, whole.stdout.count("fact=refusal")) == (0, "", 3)


def test_they_are_off_unless_asked_for(tmp_path: Path) -> None:
    with embedded(application, Settings(data_dir=tmp_path / "data")) as running:
        assert not [group for group in running.listeners if group.startswith("layer-")]
        assert LayersDesk(running.application.layers, running.views).list() == []
    assert CURATED.name not in {table.name for table in running.application.views()}
