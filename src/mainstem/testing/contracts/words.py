"""What a full text search finds on every view store. Bind an adapter by subclassing `SearchContract`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem.errors import InvalidQuery
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.words import searchable


class Note(Struct, frozen=True):
    """The row of this suite."""

    folder: str
    number: int
    text: str
    words: str


NOTE = Table("note", Note, key=("number", "folder"), indexes=(("folder", "number"),), words="words")


def note(number: int, text: str, folder: str = "f") -> Note:
    """A row that is found by its text, within its folder too."""
    return Note(folder, number, text, searchable(text, within=[folder]))


class SearchContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> ViewStore:
        """The view store of that folder."""

    @pytest.fixture
    def views(self, tmp_path: Path) -> Iterator[ViewStore]:
        """A store with the table NOTE."""
        views = self.open(tmp_path)
        views.create(NOTE)
        yield views
        views.close()

    def add(self, views: ViewStore, *rows: Note) -> int:
        """In a transaction of their own; how many."""
        with views.transaction() as transaction:
            return transaction.add(NOTE, rows)

    def found(self, views: ViewStore, text: str, within: str | None = None) -> list[int]:
        """The numbers of what is found."""
        return [row.number for row in views.search(NOTE, text, within=within)]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("cafe*", [2, 1]),
            ("cafe", [1]),
            ("CAFÉ müller", [1]),
            ("mul* caf*", [1]),
            ("mul", []),
            ("zurich", [1]),
            ("the", [3]),
            ("a", [3]),
            ("t* a", [3]),
            ("4711", [2]),
            ("47*", [2]),
            ("711", []),
            ("711*", []),
            ("москва", [4]),
            ("東京", [4]),
            ("strasse", [4]),
            ("o'neill", [5]),
            ("x" * 60, [5]),
            ("cafe nowhere", []),
            ("cafe* nowhere*", []),
        ],
    )
    def test_words_are_found(self, views: ViewStore, text: str, found: list[int]) -> None:
        """All that are asked for, however they are written, short and frequent ones too."""
        self.add(
            views,
            note(1, "Café Müller, Zürich"),
            note(2, "the-cafeteria: INV/4711".replace("the-", "")),
            note(3, "The A Team"),
            note(4, "Москва 東京 Straße"),
            note(5, f"O'Neill & Sons {'x' * 100}"),
        )
        assert self.found(views, text) == found

    def test_what_is_changed_or_removed_is_found_no_more(self, views: ViewStore) -> None:
        """By its words of before."""
        assert self.add(views, note(1, "old"), note(2, "old"), note(3, "old")) == 3
        assert self.add(views, note(1, "new")) == 0
        with views.transaction() as transaction:
            transaction.put(NOTE, [note(2, "new")])
            transaction.remove(NOTE, [(3, "f")])
        assert (self.found(views, "old"), self.found(views, "new")) == ([1], [2])

    def test_pages_within_a_folder(self, views: ViewStore) -> None:
        """The last by key first; names of folders are no words."""
        self.add(views, *(note(number, "same", "fg"[number % 2]) for number in range(20)))
        found, after = list[int](), None
        while page := views.search(NOTE, "same", within="g", after=after, limit=3):
            found += [row.number for row in page]
            after = (page[-1].number, page[-1].folder)
        assert found == list(range(19, 0, -2))
        assert self.found(views, "same", "h") == []
        with pytest.raises(InvalidQuery):
            views.search(NOTE, "same", after=(1,))

    @pytest.mark.parametrize("text", ["", " -+* ", '"', "a b c d e f g h i j k"])
    def test_what_cannot_be_sought(self, views: ViewStore, text: str) -> None:
        """Nothing, and more words than anybody needs."""
        with pytest.raises(InvalidQuery, match="1 to 10 words"):
            views.search(NOTE, text)

    @pytest.mark.parametrize(
        "text", ['"cafe', "*cafe", "cafe **", "NOT cafe", "+cafe -cafe", "cafe OR", "words:cafe", "(cafe)", "NEAR(cafe"]
    )
    def test_signs_of_an_engines_language_mean_nothing(self, views: ViewStore, text: str) -> None:
        """They part words as any other sign does."""
        self.add(views, note(1, "near not or words cafe"))
        assert self.found(views, text) == [1]

    def test_a_table_without_words(self, views: ViewStore) -> None:
        """Cannot be searched; one that declares them later is indexed with what stands."""
        self.add(views, note(1, "cafe"))
        without = Table(NOTE.name, Note, key=NOTE.key, indexes=NOTE.indexes)
        views.create(without)
        self.add(views, note(2, "cafe"))
        with pytest.raises(InvalidQuery, match="not indexed"):
            views.search(without, "cafe")
        views.create(NOTE)
        assert self.found(views, "cafe") == [2, 1]

    def test_a_built_table_brings_its_words(self, views: ViewStore) -> None:
        """In the place of the live one, more than once."""
        for text in ("first", "second", "third"):
            built = Table("note__built", Note, key=NOTE.key, words="words")
            views.create(built)
            with views.transaction() as transaction:
                transaction.add(built, [note(1, text)])
            with views.transaction() as transaction:
                transaction.swap(NOTE, built, "g")
            self.add(views, note(2, text))
            assert self.found(views, text) == [2, 1]
        assert self.found(views, "first") == []
