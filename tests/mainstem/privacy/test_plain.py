"""What is plain where a token should be; and that no edit of a dead letter brings such in."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Struct

from mainstem import Binding, Decoder, NewRecord, Personal, Refused, Rows, Table, Topic
from mainstem.listener.actions import make_tables
from mainstem.listener.desk import Listeners
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.privacy.plain import plain_texts
from mainstem.privacy.tokens import seal
from mainstem.view.sqlite import SqliteViews

_KEY = b"k" * 64


def token(text: str) -> str:
    return seal(_KEY, "a" * 16, "holder", text)


class Named(Struct, frozen=True):
    id: str
    customer: str
    holder: Annotated[str | None, Personal(of="customer")] = None


class Around(Struct, frozen=True):
    payload: Named


def test_plain_texts_are_found_wherever_they_stand() -> None:
    assert list(plain_texts(Named("1", "c", "Ada"))) == [("holder", "Ada")]
    assert list(plain_texts(Around(Named("1", "c", "Ada")))) == [("holder", "Ada")]
    assert list(plain_texts(Around(Named("1", "c", token("Ada"))))) == []
    assert list(plain_texts(Named("1", "c"))) == []
    assert list(plain_texts("Ada")) == []


def _fails(_: Named) -> Any:
    raise ValueError("never well")


@pytest.mark.parametrize(
    ("came", "edited", "taken"), [("token", "Ada", False), ("token", "token", True), ("Ada", "Ada", True)]
)
def test_an_edit_brings_no_plain_text_that_was_not_there(tmp_path: Path, came: str, edited: str, taken: bool) -> None:
    """What the letter came with may stay: it is of a time before the field was marked."""

    def value(holder: str) -> bytes:
        return msgspec.json.encode(Named("1", "c", token("Ada") if holder == "token" else holder))

    table = Table("named", Named, key=("id",))
    binding: Binding[Named] = Binding("g", "names", Decoder(Named), Rows(table, _fails))
    with closing(SqliteLog(tmp_path / "log.db")) as log, closing(SqliteViews(tmp_path / "views.db")) as views:
        log.create(Topic("names"))
        views.create(table)
        make_tables(views)
        log.append([NewRecord(topic="names", key="1", value=value(came), timestamp_ms=1)])
        Runner(binding, log, views).step()
        desk = Listeners([binding], log, views, clock_ms=lambda: 1)
        letter = desk.dead_letters("g")[0].id
        if taken:
            assert desk.edit("g", letter, value(edited), who="ann", why="test")
        else:
            with pytest.raises(Refused, match="personal data in plain text: holder"):
                desk.edit("g", letter, value(edited), who="ann", why="test")
            assert desk.actions("g") == []
