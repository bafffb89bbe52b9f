"""What chain and seals of every event store keep to: whatever plain SQL does to a stored event is found and named.

Bind an adapter by subclassing `IntegrityContract` and implementing `open`, `integrity` and `run_sql`.
"""

import random
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.errors import ConfigurationError
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.seal import opened
from mainstem.eventstore.verifying import Verified, verify, work_of
from mainstem.testing.contracts.tampered import ORIGIN, Tampered, counted

_COLUMNS = (
    "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, correlation_id,"
    " schema_version, causation_id, hash"
)
_CHANGES = (
    """payload = '{"type":"Counted","n":0}'""",
    "payload = concat(payload, ' ')",
    "type = 'Discounted'",
    "occurred_at_ms = occurred_at_ms - 1",
    "recorded_at_ms = recorded_at_ms + 1",
    "actor = 'nobody'",
    "actor = 'tellerc', correlation_id = '-1'",
    "correlation_id = NULL",
    "causation_id = NULL",
    "causation_id = correlation_id, correlation_id = causation_id",
    "schema_version = 2",
    "hash = NULL",
    "hash = unhex('00000000000000000000000000000000ffffffffffffffffffffffffffffffff')",
)
_PARKED = 1_000_000
_STREAM = "a-1"
_EVENTS = 5
_PLACES = (1, 3, _EVENTS)


class IntegrityContract(Tampered):
    """The suite. A stream of five events, `a-1`, stands between others; each test does one thing to it."""

    @pytest.fixture(params=["sealed", "chained", "between"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """A store whose events are sealed, or not yet, or as far as the middle of the stream."""
        self._fill(tmp_path, self._sealed(request.param))
        return tmp_path

    @pytest.fixture
    def sealed(self, tmp_path: Path) -> Path:
        """A store whose events are all sealed."""
        self._fill(tmp_path, 3 * _EVENTS)
        return tmp_path

    def _sealed(self, how: str) -> int:
        return {"sealed": 3 * _EVENTS, "chained": 0, "between": 7}[how]

    def _fill(self, folder: Path, sealed: int) -> None:
        """Three streams, their events by turns; so many of all are sealed, four at a time."""
        with closing(self.open(folder)) as store:
            for version in range(_EVENTS):
                for stream in ("a-0", _STREAM, "b-1"):
                    counted(store, stream, version)
        with closing(self.integrity(folder)) as integrity:
            left = sealed
            while left and (done := integrity.seal(min(4, left))):
                left -= done
            assert left == 0

    def test_what_nobody_has_touched_is_clean(self, folder: Path) -> None:
        """And stays so when more comes."""
        found = self.verified(folder)
        assert (found.events, found.unchained, found.findings) == (3 * _EVENTS, 0, ())
        with closing(self.open(folder)) as store:
            counted(store, _STREAM, _EVENTS)
            counted(store, "new-1", 0)
        found = self.verified(folder)
        assert (found.events, found.clean) == (3 * _EVENTS + 2, True)

    def test_an_empty_store_is_clean(self, tmp_path: Path) -> None:
        """There is no root yet."""
        self.open(tmp_path).close()
        assert self.verified(tmp_path) == Verified(0, 0, 0, 0, None, ())

    @pytest.mark.parametrize("version", _PLACES)
    @pytest.mark.parametrize("change", _CHANGES)
    def test_a_changed_event(self, folder: Path, change: str, version: int) -> None:
        """Whatever of it was changed; and it alone is named."""
        self.run_sql(folder, f"UPDATE event SET {change} WHERE stream = '{_STREAM}' AND version = {version}")
        (found,) = self.told(folder)
        removed_hash = change == "hash = NULL" and version == _EVENTS
        kinds = ("changed", "inserted") if removed_hash else ("changed",)
        assert found[0] in kinds
        assert found[1:] == (_STREAM, version)

    @pytest.mark.parametrize("version", _PLACES)
    def test_a_removed_event(self, folder: Path, version: int) -> None:
        """The last one of a stream is known by its seal alone."""
        self.run_sql(folder, _remove(version))
        lost = version == _EVENTS and not self._is_sealed(folder, version)
        assert self.told(folder) == ([] if lost else [("removed", _STREAM, version)])

    def test_the_whole_end_of_a_stream(self, sealed: Path) -> None:
        """Each of its events is named; so is each of a whole stream."""
        self.run_sql(sealed, f"DELETE FROM event WHERE stream = '{_STREAM}' AND version > 2")
        assert self.told(sealed) == [("removed", _STREAM, version) for version in (3, 4, 5)]
        self.run_sql(sealed, f"DELETE FROM event WHERE stream = '{_STREAM}'")
        assert self.told(sealed) == [("removed", _STREAM, version) for version in range(1, 6)]

    @pytest.mark.parametrize("version", [1, 3])
    def test_a_removed_event_whose_place_was_taken(self, folder: Path, version: int) -> None:
        """The events behind it moved up: they are not what is told."""
        self.run_sql(folder, _remove(version), *_shift(version, -1))
        assert self.told(folder) == [("removed", _STREAM, version)]

    @pytest.mark.parametrize("version", [1, 3, _EVENTS + 1])
    @pytest.mark.parametrize("hash_", ["NULL", "hash"])
    def test_an_inserted_event(self, folder: Path, version: int, hash_: str) -> None:
        """Before the first, in the middle, behind the last; without a hash, or with one of another event."""
        self.run_sql(folder, *_shift(version, 1), _insert(version, hash_))
        assert self.told(folder) == [("inserted", _STREAM, version)]

    def test_an_inserted_stream(self, folder: Path) -> None:
        """Of which nobody has ever heard."""
        values = f"'new-1', 1, type, payload, 1, 1, actor, NULL, 1, NULL, NULL FROM event WHERE stream = '{_STREAM}'"
        self.run_sql(folder, f"INSERT INTO event ({_COLUMNS}) SELECT {values} AND version = 1")
        assert self.told(folder) == [("inserted", "new-1", 1)]

    @pytest.mark.parametrize(("one", "two"), [(1, 2), (1, _EVENTS), (3, 4), (2, 4), (4, 5)])
    def test_reordered_events(self, folder: Path, one: int, two: int) -> None:
        """Two have each other's version; both are named."""
        self.run_sql(folder, *_swap(one, two))
        assert self.told(folder) == [("reordered", _STREAM, version) for version in (one, two)]

    @pytest.mark.parametrize("columns", ["payload, occurred_at_ms", "payload, occurred_at_ms, hash"])
    def test_events_that_have_each_others_content(self, folder: Path, columns: str) -> None:
        """With their hashes, or without."""
        self.run_sql(folder, *_exchange(columns, 2, 4))
        found = self.told(folder)
        assert [place[1:] for place in found] == [(_STREAM, 2), (_STREAM, 4)]
        if self._is_sealed(folder, 4) or not self._is_sealed(folder, 2):
            assert {kind for kind, _, _ in found} == {"reordered"}

    def test_an_event_in_another_stream(self, sealed: Path) -> None:
        """It is named by the stream that it belongs to."""
        self.run_sql(sealed, f"UPDATE event SET stream = 'c-1' WHERE stream = '{_STREAM}' AND version = {_EVENTS}")
        assert self.told(sealed) == [("changed", _STREAM, _EVENTS)]

    def test_a_chain_that_was_made_anew(self, sealed: Path) -> None:
        """Who changes an event and every hash behind it has no place in the seals."""
        with closing(self.integrity(sealed)) as integrity:
            events = [each.event for each in integrity.placed_of(_STREAM)]
        self.run_sql(sealed, f"DELETE FROM event WHERE stream = '{_STREAM}'")
        with closing(self.open(sealed)) as store, store.transaction() as transaction:
            forged = [NewEvent(each.type, each.payload.replace(b"2", b"9")) for each in events]
            transaction.append(_STREAM, 0, forged, occurred_at_ms=501, origin=ORIGIN)
        found = self.told(sealed)
        assert {("removed", _STREAM, version) for version in range(1, 6)} <= set(found)

    def test_seals(self, sealed: Path) -> None:
        """One that was changed or is missing is named by its number; events are still held against the others."""
        with closing(self.integrity(sealed)) as integrity:
            assert [seal.number for seal in integrity.seals()] == [1, 2, 3, 4]
        self.run_sql(sealed, "UPDATE event_seal SET root = head WHERE number = 2")
        assert self.told(sealed) == [("seal", "", 2)]
        self.run_sql(sealed, "DELETE FROM event_seal WHERE number = 3", _remove(_EVENTS))
        assert self.told(sealed) == [("seal", "", 2), ("seal", "", 3), ("removed", _STREAM, _EVENTS)]

    def test_the_last_events_of_all(self, sealed: Path) -> None:
        """No event stands behind them, and every one of them is named all the same."""
        self.run_sql(sealed, "DELETE FROM event WHERE stream = 'b-1' AND version = 5")
        assert self.told(sealed) == [("removed", "b-1", 5)]
        self.run_sql(sealed, "DELETE FROM event")
        every = [("removed", stream, version) for stream in ("a-0", _STREAM, "b-1") for version in range(1, 6)]
        assert self.told(sealed) == every

    @pytest.mark.parametrize("position", [2**50, 2**63 - 1, 0, -5, -(2**63) + 1])
    def test_a_position_that_nobody_gave(self, folder: Path, position: int) -> None:
        """However far it is from all others, it takes no time; a position counts once it is sealed, and is above 0."""
        kind = "reordered" if self._is_sealed(folder, _EVENTS) else "inserted" if position < 1 else None
        self.run_sql(folder, f"UPDATE event SET position = {position} WHERE {_of(_EVENTS)}")
        assert self.told(folder) == ([] if kind is None else [(kind, _STREAM, _EVENTS)])
        done: list[int] = []
        assert verify(partial(self.integrity, folder), progress=done.append).events == 3 * _EVENTS
        with closing(self.integrity(folder)) as integrity:
            assert sum(done) <= work_of(integrity) <= 6 * _EVENTS

    @pytest.mark.parametrize("number", [2**50, 2**63 - 1])
    def test_a_number_that_no_seal_had(self, sealed: Path, number: int) -> None:
        """All that would be between are one finding; events that it held are of no seal then."""
        self.run_sql(sealed, f"UPDATE event_seal SET number = {number} WHERE number = 4")
        found = self.verified(sealed)
        assert [(each.kind, each.version) for each in found.findings] == [("seal", 4), ("seal", number)]
        assert found.findings[0].why == f"it is missing, and so is every seal up to {number - 1}"
        assert found.unsealed == 3

    @pytest.mark.parametrize("number", [0, -7])
    def test_a_number_below_the_first(self, sealed: Path, number: int) -> None:
        """It is damaged, and what it says is not believed."""
        self.run_sql(sealed, f"UPDATE event_seal SET number = {number} WHERE number = 3", _remove(1))
        assert self.told(sealed) == [("seal", "", number), ("seal", "", 3), ("removed", _STREAM, 1)]

    def test_many_seals_that_are_missing(self, sealed: Path) -> None:
        """One finding for all that stood next to each other."""
        self.run_sql(sealed, "DELETE FROM event_seal WHERE number IN (1, 2, 3)")
        assert self.told(sealed) == [("seal", "", 1)]

    @pytest.mark.parametrize("column", ["first_position", "last_position", "sealed_to", "events", "sealed_at_ms"])
    def test_every_number_in_a_seal_counts(self, sealed: Path, column: str) -> None:
        """Of the last one too."""
        for number in (4, 1):
            self.run_sql(sealed, f"UPDATE event_seal SET {column} = {column} + 1 WHERE number = {number}")
        assert [each for each in self.told(sealed) if each[0] == "seal"] == [("seal", "", 1), ("seal", "", 4)]

    def test_a_root_that_was_kept_elsewhere(self, sealed: Path) -> None:
        """It finds what was sealed anew from the beginning, and the loss of the last seals."""
        head = self.verified(sealed).head
        assert head is not None
        assert self.verified(sealed, root=head).clean
        self.run_sql(sealed, _remove(_EVENTS), "DELETE FROM event_seal WHERE number > 1")
        assert self.told(sealed) == []
        assert [each.kind for each in self.verified(sealed, root=head).findings] == ["seal"]
        with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
            self.verified(sealed, root="abc")

    def test_events_of_before_there_was_a_chain(self, tmp_path: Path) -> None:
        """They have no hash; a seal holds them all the same, and the chain begins behind them."""
        self._fill(tmp_path, 0)
        self.run_sql(tmp_path, "UPDATE event SET hash = NULL")
        with closing(self.open(tmp_path)) as store:
            counted(store, _STREAM, _EVENTS)
        found = self.verified(tmp_path)
        assert (found.unchained, found.unsealed, found.clean) == (3 * _EVENTS, 3 * _EVENTS + 1, True)
        with closing(self.integrity(tmp_path)) as integrity:
            assert integrity.seal() == 3 * _EVENTS + 1
        assert self.verified(tmp_path).clean
        self.run_sql(tmp_path, f"UPDATE event SET actor = 'x' WHERE stream = '{_STREAM}' AND version = 2")
        assert self.told(tmp_path) == [("changed", _STREAM, 2)]

    @pytest.mark.parametrize("stream", [_STREAM, "new-1"])
    def test_an_event_that_came_by_hand_before_it_was_sealed(self, folder: Path, stream: str) -> None:
        """Without a hash, as events of before there was a chain have none; what comes behind it is not at fault."""
        version = _EVENTS if stream == _STREAM else 0
        columns, values = (
            _COLUMNS.removesuffix(", hash"),
            f"type, payload, 1, 1, actor, NULL, 1, NULL FROM event WHERE {_of(1)}",
        )
        self.run_sql(folder, f"INSERT INTO event ({columns}) SELECT '{stream}', {version + 1}, {values}")
        with closing(self.open(folder)) as store:
            counted(store, stream, version + 1)
        with closing(self.integrity(folder)) as integrity:
            while integrity.seal():
                pass
        assert self.told(folder) == [("inserted", stream, version + 1)]

    def test_sealing_goes_on_where_it_ended(self, sealed: Path) -> None:
        """In intervals of the size asked for; nothing new makes no seal."""
        with closing(self.integrity(sealed)) as integrity:
            assert integrity.seal() == 0
            seals = integrity.seals()
            assert [seal.events for seal in seals] == [4, 4, 4, 3]
            assert [entry.position for seal in seals for entry in opened(seal).entries] == list(range(1, 16))
            assert integrity.last_seal() == seals[-1]
            assert integrity.seals(after=1, limit=2) == seals[1:3]
            assert [seal.number for seal in integrity.seals_over(4, 9)] == [2, 3]
            assert work_of(integrity) == 30

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(seed=st.integers(0, 2**32), sealed=st.integers(0, 3 * _EVENTS))
    def test_any_single_change_is_found_in_its_place(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, sealed: int
    ) -> None:
        """Wherever the seals end."""
        folder = tmp_path_factory.mktemp("any")
        self._fill(folder, sealed)
        assert self.told(folder) == []
        kind, versions, statements = _tampering(random.Random(seed))
        self.run_sql(folder, *statements)
        found = self.told(folder)
        if kind == "removed" and versions == [_EVENTS] and not self._is_sealed(folder, _EVENTS):
            assert found == []
        else:
            assert found == [(kind, _STREAM, version) for version in versions]

    def _is_sealed(self, folder: Path, version: int) -> bool:
        with closing(self.integrity(folder)) as integrity:
            entries = [entry for seal in integrity.seals() for entry in opened(seal).entries]
        return any((entry.stream, entry.version) == (_STREAM, version) for entry in entries)


def _of(version: int) -> str:
    return f"stream = '{_STREAM}' AND version = {version}"


def _remove(version: int) -> str:
    return f"DELETE FROM event WHERE {_of(version)}"


def _shift(version: int, by: int) -> list[str]:
    """Events from that version on get another, by way of versions that nobody has."""
    stream = f"stream = '{_STREAM}'"
    return [
        f"UPDATE event SET version = version + {_PARKED} WHERE {stream} AND version >= {version}",
        f"UPDATE event SET version = version - {_PARKED - by} WHERE {stream} AND version > {_PARKED}",
    ]


def _insert(version: int, hash_: str) -> str:
    other = 2 if version == 1 else 1
    columns = _COLUMNS.replace("version", str(version), 1).replace("hash", hash_)
    return f"INSERT INTO event ({_COLUMNS}) SELECT {columns} FROM event WHERE {_of(other)}"


def _swap(one: int, two: int) -> list[str]:
    return [
        f"UPDATE event SET version = {_PARKED} WHERE {_of(one)}",
        f"UPDATE event SET version = {one} WHERE {_of(two)}",
        f"UPDATE event SET version = {two} WHERE {_of(_PARKED)}",
    ]


def _exchange(columns: str, one: int, two: int) -> Iterator[str]:
    yield f"CREATE TABLE swapped AS SELECT {columns}, version FROM event WHERE stream = '{_STREAM}'"
    for mine, other in ((one, two), (two, one)):
        changes = ", ".join(
            f"{name} = (SELECT s.{name} FROM swapped AS s WHERE s.version = {other})" for name in columns.split(", ")
        )
        yield f"UPDATE event SET {changes} WHERE {_of(mine)}"
    yield "DROP TABLE swapped"


def _tampering(choice: random.Random) -> tuple[str, list[int], list[str]]:
    """One thing done to the stream: what it is called, the versions that are to be named, and how it is done."""
    kind = choice.choice(["changed", "removed", "inserted", "reordered"])
    version = choice.randint(1, _EVENTS)
    if kind == "changed":
        changes = [each for each in _CHANGES if each != "hash = NULL"]
        return kind, [version], [f"UPDATE event SET {choice.choice(changes)} WHERE {_of(version)}"]
    if kind == "removed":
        moved_up = version <= _EVENTS - 2 and choice.random() < 1 / 2
        return kind, [version], [_remove(version), *(_shift(version, -1) if moved_up else ())]
    if kind == "inserted":
        version = choice.randint(1, _EVENTS + 1)
        return kind, [version], [*_shift(version, 1), _insert(version, choice.choice(["NULL", "hash"]))]
    one, two = sorted(choice.sample(range(1, _EVENTS + 1), 2))
    return kind, [one, two], _swap(one, two)
