"""A capture that brings a change twice, on the real parts: what a listener sends goes out once."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.codec import Decoder
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.messages import NewRecord
from mainstem.view.mysql import MysqlViews
from mainstem.view.projection import Rows
from tests.adder import ENTRIES, OUT, TOPIC, Count, Entry, record_of
from tests.stack import Databases, Prefixes

pytestmark = pytest.mark.stack


def _entries(message: Count) -> Sequence[Entry]:
    return (Entry(f"{message.account}-{message.version}", message.add),)


def _messages(message: Count) -> Sequence[NewRecord]:
    return (NewRecord(topic=OUT.name, key=message.account, value=b"%d" % message.add, timestamp_ms=0),)


_BINDING = Binding(
    group="entries",
    topic=TOPIC.name,
    decoder=Decoder(Count),
    projection=Rows(ENTRIES, _entries),
    emit=_messages,
    out=(OUT,),
)


@pytest.mark.parametrize("apart", [False, True], ids=["in one batch", "in several"])
def test_a_change_that_comes_again_is_sent_once(
    tmp_path: Path, databases: Databases, prefixes: Prefixes, apart: bool
) -> None:
    servers, prefix = prefixes(tmp_path)
    with closing(KafkaLog(servers, prefix=prefix)) as log, closing(MysqlViews(databases(tmp_path))) as views:
        for topic in (TOPIC, OUT):
            log.create(topic)
        views.create(ENTRIES)
        runner = Runner(_BINDING, log, views)
        first, second, third = (record_of(Count("anna", number, number)) for number in (1, 2, 3))
        handled = 0
        for records in ([first, second], [first, second, third]) if apart else ([first, second, first, second, third],):
            log.append(records)
            handled += len(records)
            for _ in range(200):
                runner.step(0.1)
                if runner.status().handled == handled:
                    break
        assert runner.status().handled == 5
        assert [record.value for record in log.read(OUT.name, 0, 0, 100)] == [b"1", b"2", b"3"]
        assert views.count(ENTRIES) == 3
