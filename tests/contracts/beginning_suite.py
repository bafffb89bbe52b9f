"""What every log keeps to where a group begins behind what is there, beside its contract: it takes a view store too."""

from pathlib import Path

from mainstem.listener.beginning import begin_now
from mainstem.log.port import Log
from mainstem.testing.contracts.log import LogContract, numbers, record
from mainstem.view.sqlite import SqliteViews

_WAIT_S = 10.0


class BeginningSuite(LogContract):
    """The suite."""

    def test_a_group_may_begin_behind_what_is_there(self, log: Log, tmp_path: Path) -> None:
        """In every partition, and only once: what comes after it is there for whoever joins later."""
        views = SqliteViews(tmp_path / "views.db")
        before, after = range(12), range(12, 24)
        log.append([record(n, key=f"k{n}") for n in before])
        begin_now("late", "orders", log, views)
        log.append([record(n, key=f"k{n}") for n in after])
        begin_now("late", "orders", log, views)
        consumer = log.consumer(
            "late", ["orders"], lambda places: {each: views.offsets("late")[each] for each in places}
        )
        found: list[int] = []
        while more := consumer.poll(50, 0.0 if len(found) >= len(after) else _WAIT_S):
            found += numbers(more)
        assert sorted(found) == list(after)
        consumer.close()
        views.close()
