"""What every store of subjects' keys keeps to. Bind an adapter by subclassing `KeyStoreContract`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.errors import ConfigurationError, StoreUnavailable
from mainstem.privacy.port import KeyStore, SubjectKey, Tombstone
from mainstem.privacy.tokens import KEY_BYTES

STONE = Tombstone(forgotten_at_ms=5_000, actor="dpo", why="asked for")
_AT_ONCE = 8


class KeyStoreContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path, master: str = "one") -> KeyStore:
        """The store of that folder; opened a second time it stands for another process.

        With the master key of that name, which is made where there is none.
        """

    @pytest.fixture
    def keys(self, tmp_path: Path) -> Iterator[KeyStore]:
        """An empty store."""
        keys = self.open(tmp_path)
        yield keys
        keys.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[KeyStore]:
        """The same store, as another process has it."""
        other = self.open(tmp_path)
        yield other
        other.close()

    def test_a_key_is_made_once(self, keys: KeyStore, other: KeyStore) -> None:
        """By whoever needs it first; others find it, by its subject and by its id."""
        assert keys.of_subjects(["customer:a"], make=False) == {}
        made = keys.of_subjects(["customer:a", "customer:b", "customer:a"], make=True)
        assert sorted(made) == ["customer:a", "customer:b"]
        one, two = made["customer:a"], made["customer:b"]
        assert (one.subject, len(one.key or b""), one.tombstone) == ("customer:a", KEY_BYTES, None)
        assert one.key != two.key
        assert one.key_id != two.key_id
        assert keys.of_subjects(list(made), make=True) == made
        assert other.of_subjects(list(made), make=False) == made
        assert other.of_ids([two.key_id, "aaaaaaaaaaaaaaaa"]) == {two.key_id: two}

    def test_subjects_are_told_apart_exactly(self, keys: KeyStore) -> None:
        """By every character."""
        names = ["customer:a", "customer:A", "customer:a ", "customer:á", "customer:😀", f"customer:{'x' * 246}"]
        made = keys.of_subjects(names, make=True)
        assert len({key.key_id for key in made.values()}) == len(names)
        assert sorted(made) == sorted(names)

    def test_many_at_once(self, keys: KeyStore) -> None:
        """More than one statement takes."""
        names = [f"customer:{number}" for number in range(1_201)]
        made = keys.of_subjects(names, make=True)
        assert keys.of_ids([key.key_id for key in made.values()]) == {key.key_id: key for key in made.values()}
        assert len(made) == len(names)

    def test_who_makes_a_key_at_once_gets_the_same(self, tmp_path: Path, keys: KeyStore) -> None:
        """Each thread stands for a process."""
        keys.of_subjects(["customer:first"], make=True)
        stores = [self.open(tmp_path) for _ in range(_AT_ONCE)]
        names = [f"customer:{number}" for number in range(40)]
        begin, found = threading.Barrier(_AT_ONCE), list[dict[str, SubjectKey]]()

        def make(store: KeyStore) -> None:
            begin.wait(30)
            found.append({name: store.of_subjects([name], make=True)[name] for name in names})

        threads = [threading.Thread(target=make, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for store in stores:
            store.close()
        assert len(found) == _AT_ONCE
        assert all(each == found[0] for each in found)

    def test_a_forgotten_subject_has_no_key_and_never_gets_one(self, keys: KeyStore, other: KeyStore) -> None:
        """The id stays, so that tokens are known for what they are; the first tombstone stays; others keep theirs."""
        made = keys.of_subjects(["customer:a", "customer:b"], make=True)
        gone = SubjectKey("customer:a", made["customer:a"].key_id, None, STONE)
        assert keys.forget("customer:a", STONE) == gone
        again = Tombstone(forgotten_at_ms=9_000, actor="other", why="again")
        assert other.forget("customer:a", again) == gone
        for store in (keys, other):
            assert store.of_subjects(["customer:a"], make=True) == {"customer:a": gone}
            assert store.of_ids([gone.key_id]) == {gone.key_id: gone}
            assert store.of_subjects(["customer:b"], make=True) == {"customer:b": made["customer:b"]}

    def test_a_subject_without_a_key_can_be_forgotten(self, keys: KeyStore) -> None:
        """Before there is anything of it: nothing ever will be."""
        gone = keys.forget("customer:a", STONE)
        assert (gone.key, gone.tombstone) == (None, STONE)
        assert keys.of_subjects(["customer:a"], make=True) == {"customer:a": gone}

    def test_keys_stay(self, tmp_path: Path, keys: KeyStore) -> None:
        """And so do tombstones."""
        made = keys.of_subjects(["customer:a"], make=True)
        gone = keys.forget("customer:b", STONE)
        keys.close()
        keys.close()
        again = self.open(tmp_path)
        assert again.of_subjects(["customer:a", "customer:b"], make=False) == {**made, "customer:b": gone}
        again.close()

    def test_another_master_key_opens_nothing(self, tmp_path: Path, keys: KeyStore) -> None:
        """And makes nothing, and destroys nothing."""
        made = keys.of_subjects(["customer:a"], make=True)
        wrong = self.open(tmp_path, "two")
        for ask in (
            lambda: wrong.of_subjects(["customer:a"], make=False),
            lambda: wrong.of_subjects(["customer:b"], make=True),
            lambda: wrong.of_ids([made["customer:a"].key_id]),
            lambda: wrong.forget("customer:a", STONE),
        ):
            with pytest.raises(ConfigurationError, match="another master key"):
                ask()
        wrong.close()
        assert keys.of_subjects(["customer:a", "customer:b"], make=False) == made

    def test_the_master_key_is_rotated(self, tmp_path: Path, keys: KeyStore, other: KeyStore) -> None:
        """All keys stay, for whoever has the store open too; the one before opens nothing any more."""
        names = [f"customer:{number}" for number in range(1_201)]
        made = keys.of_subjects(names, make=True)
        gone = keys.forget("customer:7", STONE)
        made = {**made, "customer:7": gone}
        assert other.of_subjects(names[:3], make=False) == {name: made[name] for name in names[:3]}
        before = (tmp_path / "one").read_bytes()
        (tmp_path / "two").write_bytes(before)
        assert keys.rotate() == len(names) - 1
        assert (tmp_path / "one").read_bytes() != before
        for store in (keys, other):
            assert store.of_subjects(names, make=False) == made
        more = other.of_subjects(["customer:more"], make=True)
        assert other.rotate() == len(names)
        again = self.open(tmp_path)
        assert again.of_subjects([*names, "customer:more"], make=True) == {**made, **more}
        again.close()
        wrong = self.open(tmp_path, "two")
        with pytest.raises(ConfigurationError, match="another master key"):
            wrong.of_subjects(names, make=False)
        with pytest.raises(ConfigurationError, match="another master key"):
            wrong.rotate()
        wrong.close()
        assert keys.of_subjects(names, make=False) == made

    def test_a_closed_store_says_so(self, keys: KeyStore) -> None:
        """Rather than making anything anew."""
        keys.close()
        with pytest.raises(StoreUnavailable):
            keys.of_subjects(["customer:a"], make=True)
        with pytest.raises(StoreUnavailable):
            keys.of_ids(["aaaaaaaaaaaaaaaa"])
