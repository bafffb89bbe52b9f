"""Backups hold no keys, and a restore brings nobody back."""

from pathlib import Path

from msgspec.structs import replace

from mainstem.assembly import embedded
from mainstem.assembly.backup import back_up, restore
from mainstem.privacy.port import FORGOTTEN
from mainstem.settings import Settings
from tests.mainstem.privacy.shop import CUSTOMER_ROW, Join, application


def test_who_was_forgotten_stays_so_after_a_restore(tmp_path: Path) -> None:
    """The keys stay in the folder, so that the others can be read; a copy elsewhere has none, and reads nothing."""
    settings = Settings(data_dir=tmp_path / "data", topic_partitions=1)
    with embedded(application, settings) as shop:
        for name in ("ada", "bob"):
            shop.commands.execute(Join(id=name, name=name.title()))
        assert shop.settle()
        back_up(application, settings, tmp_path / "backup")
        shop.forgetter.forget("customer:ada", actor="dpo", why="asked for")
    assert not list((tmp_path / "backup").glob("keys*"))
    assert not list((tmp_path / "backup").glob("*.key"))
    _, aside = restore(application, settings, tmp_path / "backup", replacing=True)
    assert aside is not None
    assert not list(aside.glob("keys*"))
    assert _names(settings) == {"ada": FORGOTTEN, "bob": "Bob"}
    elsewhere = replace(settings, data_dir=tmp_path / "elsewhere")
    restore(application, elsewhere, tmp_path / "backup")
    assert _names(elsewhere) == {"ada": "(unreadable)", "bob": "(unreadable)"}


def test_a_folder_without_its_keys_says_so(tmp_path: Path) -> None:
    """From the start, until they are brought back; also where others have been made since."""
    settings = Settings(data_dir=tmp_path / "data", topic_partitions=1)
    elsewhere = replace(settings, data_dir=tmp_path / "elsewhere")
    with embedded(application, settings) as shop:
        for name in ("ada", "bob"):
            shop.commands.execute(Join(id=name, name=name.title()))
        assert shop.settle()
        assert shop.status().parts == ()
        back_up(application, settings, tmp_path / "backup")
    restore(application, elsewhere, tmp_path / "backup")
    with embedded(application, elsewhere) as shop:
        (part,) = shop.status().parts
        assert (part.name, part.trouble) == ("keys", f"the keys of 2 of 2 {_LOST}")
        shop.commands.execute(Join(id="cleo", name="Cleo"))
        assert shop.settle()
        assert shop.troubles() == {}
    with embedded(application, elsewhere) as shop:
        (part,) = shop.status().parts
        assert part.trouble == f"the keys of 2 of 3 {_LOST}"
    (elsewhere.data_dir / "keys.db").write_bytes((settings.data_dir / "keys.db").read_bytes())
    with embedded(application, elsewhere) as shop:
        (part,) = shop.status().parts
        assert "another master key" in (part.trouble or "")
        (elsewhere.data_dir / "master.key").write_bytes((settings.data_dir / "master.key").read_bytes())
        (part,) = shop.status().parts
        assert part.trouble == f"the keys of 1 of 3 {_LOST}"
    with embedded(application, settings) as shop:
        assert shop.status().parts == ()


_LOST = (
    "persons looked at are not there, and their data unreadable:"
    " bring the keys back that belong to these events, and their master key"
)


def _names(settings: Settings) -> dict[str, str]:
    with embedded(application, settings) as shop:
        return {row.id: shop.vault.open(row).name for row in shop.events.states(CUSTOMER_ROW)}
