"""What every event store's tags keep to: whatever plain SQL does to one is found and named by its tag and number, and
made right again from what the events keep.

Bind an adapter by subclassing `TagIntegrityContract` and implementing `open`, `integrity` and `run_sql`.
"""

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.errors import StoreCorrupt, TagConflict
from mainstem.eventstore.mending_tags import mending
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

_LEFT = {
    "DELETE FROM event_tag WHERE tag = 'red' AND number = 2": ["tag 'red', number 2: it is gone"],
    "UPDATE event_tag SET version = 2 WHERE tag = 'red' AND number = 1": [
        "tag 'red', number 2: it leads to old-2 1, which is older than the event before it"
    ],
}
"""What cannot be mended, since events of before they kept their tags do not say which they have."""

_PERHAPS_GONE = (
    "INSERT INTO event_tag VALUES ('green', 2, 'nobody-1', 1)",
    "UPDATE event_tag SET stream = 'old-3' WHERE tag = 'red' AND number = 2",
)
"""What may be the row of an event that is gone."""


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

    @pytest.mark.parametrize("change", [each for each, _ in _TAMPERED if each not in _PERHAPS_GONE])
    def test_a_tag_is_made_right_again(self, tagged: Path, change: str) -> None:
        """From what the events keep; what they do not say is left, and told. A decision finds its events again."""
        before = self._found_by(tagged)
        self.run_sql(tagged, change)
        left = self.mended(tagged)
        assert [each.split("; ")[0] for each in left] == _LEFT.get(change, [])
        if left:
            assert self.mended(tagged) == left
        else:
            assert (self.told(tagged), self._found_by(tagged)) == ([], before)
        with closing(self.open(tagged)) as store:
            counted(store, "b-1", 1, "green", "blue")
            last = [each.number for tag in ("green", "blue") for each in store.read_tagged(tag)][-1]
        assert (self.mended(tagged), last) == (left, 4)

    @pytest.mark.parametrize("change", _PERHAPS_GONE)
    def test_a_tag_of_an_event_that_is_gone_is_not_made_right(self, tagged: Path, change: str) -> None:
        """Somebody has made the row, or the event was removed before it was sealed: nothing says which."""
        self.run_sql(tagged, change)
        told = self.told(tagged)
        with pytest.raises(StoreCorrupt, match="which is not there"):
            self.mended(tagged)
        assert self.told(tagged) == told

    def test_a_number_that_no_event_has(self, tagged: Path) -> None:
        """The last event of its stream is gone with its row, before it was sealed, and there is one behind it."""
        with closing(self.open(tagged)) as store:
            counted(store, "b-1", 1, "green")
            counted(store, "b-2", 0, "green")
        self.run_sql(tagged, "DELETE FROM event WHERE stream = 'b-1' AND version = 2")
        self.run_sql(tagged, "DELETE FROM event_tag WHERE tag = 'green' AND number = 2")
        assert self.told(tagged) == [("tag", "green", 2)]
        with pytest.raises(StoreCorrupt, match="no event has number 2, and one has 3"):
            self.mended(tagged)

    def test_a_tag_that_got_an_event_meanwhile_is_left(self, tagged: Path) -> None:
        """What was found is not what stands: nothing is changed, and it is found again."""
        self.run_sql(tagged, "DELETE FROM event_tag WHERE tag = 'blue' AND number = 2")
        with closing(self.integrity(tagged)) as integrity:
            (mend,) = mending(integrity, self.verified(tagged).findings).mends
            with closing(self.open(tagged)) as store:
                counted(store, "b-1", 1, "blue")
            with pytest.raises(TagConflict, match="tag blue is at number 4, not at 3"):
                integrity.mend_tag(mend)
        assert self.told(tagged) == [("tag", "blue", 2)]
        assert self.mended(tagged) == []

    def given_twice(self, tagged: Path) -> None:
        """The only row of the tag `green` is gone, and so is what it is counted to: another event gets its number.

        One row cannot lead to both. An adapter does the first.
        """
        with closing(self.open(tagged)) as store:
            counted(store, "b-2", 0, "green")
        assert self.told(tagged) == [("tag", "green", 1)]
        (left,) = self.mended(tagged)
        assert left.startswith("tag 'green', number 1: b-1 1 has it, and so has b-2 1, to which it leads")
        assert self.told(tagged) == [("tag", "green", 1)]

    def _found_by(self, folder: Path) -> list[tuple[str, int, str, int]]:
        tags = ("red", "blue", "green", "big", "größe 'x'", "new", "Red")
        with closing(self.open(folder)) as store:
            found = [each for tag in tags for each in store.read_tagged(tag)]
        return [(each.tag, each.number, each.event.stream, each.event.version) for each in found]

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
