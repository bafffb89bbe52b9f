"""Chain and seals of the MySQL event store keep to their contract."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.mysql import Session, execute
from mainstem.testing.contracts.integrity import IntegrityContract
from mainstem.testing.contracts.tag_integrity import TagIntegrityContract
from tests.stack import Databases


class _Mysql:
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), clock_ms=lambda: 1000)

    def integrity(self, folder: Path) -> MysqlIntegrity:
        return MysqlIntegrity(self.databases(folder), clock_ms=lambda: 1000)

    def run_sql(self, folder: Path, *statements: str) -> None:
        session = Session(self.databases(folder))
        with session.use() as connection:
            for statement in statements:
                execute(connection, statement)
        session.close()


@pytest.mark.stack
class TestMysqlIntegrity(_Mysql, IntegrityContract):
    pass


@pytest.mark.stack
class TestMysqlTagIntegrity(_Mysql, TagIntegrityContract):
    @pytest.mark.parametrize("change", ["UPDATE tag_head SET number = 9", "DELETE FROM tag_head"])
    def test_a_tag_that_is_counted_to_another_number(self, tagged: Path, change: str) -> None:
        self.run_sql(tagged, f"{change} WHERE tag = 'red'")
        assert self.told(tagged) == [("tag", "red", 6)]
        assert (self.mended(tagged), self.told(tagged)) == ([], [])

    def test_a_number_that_was_given_twice(self, tagged: Path) -> None:
        self.run_sql(tagged, "DELETE FROM event_tag WHERE tag = 'green'", "DELETE FROM tag_head WHERE tag = 'green'")
        self.given_twice(tagged)

    def test_a_count_of_events_of_before_they_kept_their_tags_is_left(self, tagged: Path) -> None:
        self.run_sql(tagged, "UPDATE tag_head SET number = 2 WHERE tag = 'big'")
        assert [each.split(";")[0] for each in self.mended(tagged)] == ["tag 'big': its events are counted to 2"]
        self.run_sql(tagged, "DELETE FROM tag_head WHERE tag = 'big'")
        assert (self.mended(tagged), self.told(tagged)) == ([], [])
