"""What every event store's tags keep to: whatever plain SQL does to one is found and named by its tag and number.

Bind an adapter by subclassing `TagIntegrityContract` and implementing `open`, `integrity` and `run_sql`.
"""

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.testing.contracts.tampered import Tampered, counted

_TAMPERED: Sequence[tuple[str, Sequence[tuple[str, int]]]] = (
    ("DELETE FROM event_tag WHERE tag = 'red' AND number = 4", [("red", 4)]),
    ("DELETE FROM event_tag WHERE tag = 'red' AND number = 2", [("red", 2)]),  # of before, and others behind it
    ("DELETE FROM event_tag WHERE tag = 'blue'", [("blue", 1), ("blue", 2), ("blue", 3)]),
    ("DELETE FROM event_tag WHERE tag = 'green'", [("green", 1)]),
    ("INSERT INTO event_tag VALUES ('green', 2, 'a-1', 2)", [("green", 2)]),  # an event without tags
    ("INSERT INTO event_tag VALUES ('new', 1, 'a-1', 1)", [("new", 1)]),
    ("INSERT INTO event_tag VALUES ('green', 2, 'b-1', 1)", [("green", 2)]),  # twice
    ("INSERT INTO event_tag VALUES ('green', 3, 'old-1', 1)", [("green", 2), ("green", 3)]),
    ("INSERT INTO event_tag VALUES ('green', 2, 'nobody-1', 1)", [("green", 2)]),
    ("UPDATE event_tag SET stream = 'b-1', version = 1 WHERE tag = 'blue' AND number = 2", [("blue", 2)]),
    ("UPDATE event_tag SET version = 2 WHERE tag = 'blue' AND number = 2", [("blue", 2)]),
    ("UPDATE event_tag SET stream = 'old-3' WHERE tag = 'red' AND number = 2", [("red", 2)]),
    ("UPDATE event_tag SET version = 2 WHERE tag = 'red' AND number = 1", [("red", 2)]),  # in another order
    ("UPDATE event_tag SET number = 9 WHERE tag = 'red' AND number = 6", [("red", 6), ("red", 9)]),
    ("UPDATE event_tag SET tag = 'Red' WHERE tag = 'red' AND number = 6", [("Red", 1), ("Red", 6), ("red", 6)]),
)
_STREAM = "a-1"


class TagIntegrityContract(Tampered):
    """The suite. Each test does one thing to a row of a tag, or to what an event keeps of its tags."""

    @pytest.fixture
    def tagged(self, tmp_path: Path) -> Path:
        """Events with tags in two streams, of before they kept them, and since."""
        with closing(self.open(tmp_path)) as store:
            counted(store, "old-1", 0, "red")
            counted(store, "old-2", 0, "red", "big")
            counted(store, "old-1", 1, "red")
        self.run_sql(tmp_path, "UPDATE event SET tags = NULL, hash = NULL")
        with closing(self.open(tmp_path)) as store:
            for version, tags in enumerate((("red", "blue"), (), ("blue", "größe 'x'"), ("red",), ("blue", "red"))):
                counted(store, _STREAM, version, *tags)
            counted(store, "b-1", 0, "green")
        return tmp_path

    def test_tags_are_as_they_were_given(self, tagged: Path) -> None:
        """Those of events of before they kept them are told apart."""
        found = self.verified(tagged)
        assert (found.tags, found.unchained_tags, found.findings) == (12, 4, ())

    @pytest.mark.parametrize(("change", "told"), _TAMPERED)
    def test_a_tag_that_is_not_as_it_was_given(
        self, tagged: Path, change: str, told: Sequence[tuple[str, int]]
    ) -> None:
        """A row that is gone, or that nobody gave, or that leads elsewhere; it is named by its tag and number."""
        self.run_sql(tagged, change)
        assert self.told(tagged) == [("tag", *place) for place in told]

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(seed=st.integers(0, 2**32))
    def test_any_single_character_of_a_tag(self, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
        """In the row by which an event is found, and in what the event keeps."""
        folder = tmp_path_factory.mktemp("any")
        with closing(self.open(folder)) as store:
            counted(store, "a-0", 0, "blue", "red")
            for version in range(3):
                counted(store, _STREAM, version, "blue", "red")
        assert self.told(folder) == []
        choice = random.Random(seed)
        version, tag, letter = choice.randint(1, 3), choice.choice(["blue", "red"]), choice.choice("aez:1é")
        column, place = choice.choice([("tag", (tag, version + 1)), ("stream", (tag, version + 1)), ("tags", None)])
        of_event = f"stream = '{_STREAM}' AND version = {version}"
        of_row = f"tag = '{tag}' AND number = {version + 1}"
        table, where = ("event", of_event) if place is None else ("event_tag", of_row)
        at = choice.randint(1, {"tag": len(tag), "stream": len(_STREAM), "tags": 24}[column])
        changed = f"concat(substr({column}, 1, {at - 1}), '{letter}', substr({column}, {at + 1}))"
        self.run_sql(folder, f"UPDATE {table} SET {column} = {changed} WHERE {where}")
        with closing(self.integrity(folder)) as integrity:
            events = [each.event for each in integrity.placed_of(_STREAM)]
            same = events[version - 1].tags == f'[["blue",{version + 1}],["red",{version + 1}]]'
            row = integrity.tag_rows_at([(tag, version + 1)]).get((tag, version + 1))
        if same and row is not None and (row.stream, row.version) == (_STREAM, version):
            assert self.told(folder) == []  # the letter that stood there
        elif column == "tags":
            assert ("changed", _STREAM, version) in self.told(folder)
        else:
            assert ("tag", tag, version + 1) in self.told(folder)
