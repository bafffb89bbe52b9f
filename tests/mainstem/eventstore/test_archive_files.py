"""Files of the archive: what an older release has written is read."""

import io

from pyarrow import parquet

from mainstem.eventstore.archive import ArchivedEvent, ArchiveFile, read_events, written
from mainstem.eventstore.port import StoredEvent


def test_a_file_of_before_events_kept_their_tags() -> None:
    events = [ArchivedEvent(n, StoredEvent("a-1", n, "Counted", b"{}", 1, 1, "teller", None)) for n in (1, 2)]
    older = io.BytesIO()
    parquet.write_table(parquet.read_table(io.BytesIO(written(events))).drop_columns("tags"), older)
    file = ArchiveFile("events-1-2-00.parquet", b"", 0, 2, 1, 2, 1)
    assert read_events(older.getvalue(), file) == events
