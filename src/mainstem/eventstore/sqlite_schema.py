"""The tables of an event store in SQLite, and their columns."""

from mainstem.eventstore.sqlite_columns import EVENT, PLACE
from mainstem.eventstore.sqlite_tags import TAGS

__all__ = ["ARCHIVED_SINCE", "EVENT", "LATER", "MIGRATIONS", "PLACE", "REFUSAL_SINCE", "SNAPSHOT", "TAGGED_SINCE"]

ARCHIVE = """
    CREATE TABLE event_archive (
        name TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        events INTEGER NOT NULL,
        first_position INTEGER NOT NULL,
        last_position INTEGER NOT NULL,
        made_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX event_archive_last ON event_archive (last_position);
    CREATE TABLE archived_stream (
        stream TEXT NOT NULL,
        first_version INTEGER NOT NULL,
        last_version INTEGER NOT NULL,
        name TEXT NOT NULL,
        hash BLOB,
        PRIMARY KEY (stream, last_version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX archived_stream_name ON archived_stream (name);
    """
MIGRATIONS = (
    """
    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        type TEXT NOT NULL,
        payload TEXT NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        recorded_at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        correlation_id TEXT,
        UNIQUE (stream, version)
    ) STRICT;
    CREATE TABLE snapshot (
        stream TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kept_answer (
        key TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        answer BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kept_answer_at ON kept_answer (at_ms);
    CREATE TABLE refused_command (
        id INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        command TEXT NOT NULL,
        content TEXT NOT NULL,
        reason TEXT NOT NULL,
        text TEXT NOT NULL,
        refused_at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        correlation_id TEXT
    ) STRICT;
    CREATE INDEX refused_command_stream ON refused_command (stream, id);
    """,
    """
    DROP TABLE snapshot;
    CREATE TABLE snapshot (
        stream TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        version INTEGER NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        taken_at_ms INTEGER NOT NULL,
        state BLOB NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (stream, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX snapshot_fingerprint ON snapshot (fingerprint, taken_at_ms);
    """,
    "ALTER TABLE event ADD COLUMN schema_version INTEGER NOT NULL DEFAULT 1 CHECK (schema_version > 0)",
    """
    ALTER TABLE event ADD COLUMN causation_id TEXT;
    ALTER TABLE refused_command ADD COLUMN causation_id TEXT;
    """,
    """
    ALTER TABLE refused_command ADD COLUMN retry_of INTEGER;
    CREATE TABLE retried_refusal (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL
    ) STRICT;
    DROP INDEX refused_command_stream;
    CREATE INDEX refused_command_stream ON refused_command (stream, refused_at_ms);
    CREATE INDEX refused_command_reason ON refused_command (reason, refused_at_ms);
    CREATE INDEX refused_command_command ON refused_command (command, refused_at_ms);
    CREATE INDEX refused_command_actor ON refused_command (actor, refused_at_ms);
    CREATE INDEX refused_command_time ON refused_command (refused_at_ms);
    CREATE INDEX refused_command_retry ON refused_command (retry_of) WHERE retry_of IS NOT NULL;
    """,
    """
    ALTER TABLE event ADD COLUMN hash BLOB CHECK (length(hash) = 32);
    CREATE TABLE event_seal (
        number INTEGER PRIMARY KEY,
        first_position INTEGER NOT NULL,
        last_position INTEGER NOT NULL,
        sealed_to INTEGER NOT NULL,
        events INTEGER NOT NULL,
        root BLOB NOT NULL,
        previous BLOB NOT NULL,
        head BLOB NOT NULL,
        sealed_at_ms INTEGER NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE INDEX event_seal_last ON event_seal (last_position);
    """,
    TAGS,
    ARCHIVE,
    "ALTER TABLE event ADD COLUMN tags TEXT",
)


LATER = {"schema_version": (3, "1"), "causation_id": (4, "NULL"), "hash": (6, "NULL"), "tags": (9, "NULL")}
"""Columns that were added later: from which schema on, and what stands for it before."""

TAGGED_SINCE = MIGRATIONS.index(TAGS) + 1
"""The schema from which on events have tags."""

ARCHIVED_SINCE = MIGRATIONS.index(ARCHIVE) + 1
"""The schema from which on events may be archived."""

REFUSAL_SINCE = {"causation_id": 4, "retry_of": 5}
"""The schema from which on a refusal has that column."""

SNAPSHOT = "version, occurred_at_ms, fingerprint, taken_at_ms, state, digest"
