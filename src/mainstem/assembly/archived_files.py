"""The archive's files of a backup: those that the copied events name."""

import os
import re
import shutil
from contextlib import closing
from pathlib import Path

from mainstem.errors import StoreCorrupt, StoreUnavailable
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.chain import HIGHEST, LOWEST
from mainstem.eventstore.sqlite_archive import SqliteEventRows

_NAME = re.compile(r"archive/events-[0-9]+-[0-9]+-[0-9a-f]{16}\.parquet")


def is_archived(name: str) -> bool:
    """Whether that is the name of an archive's file in a backup."""
    return _NAME.fullmatch(name) is not None


def copy_archive(events: Path, source: Path, target: Path) -> list[str]:
    """Copy the files that an event store names, from one folder to another that is made; their names.

    Raises StoreUnavailable or StoreCorrupt for one that is missing or is not what was archived.
    """
    with closing(SqliteEventRows(events)) as rows:
        archive = Archive(rows.ask, source)
        files = archive.files(LOWEST, HIGHEST)
        if files:
            target.mkdir()
        for file in files:
            (target / file.name).write_bytes(archive.content(file))
    return [file.name for file in files]


def add_archive(source: Path, target: Path) -> None:
    """Put files into an archive that may hold others. One of the same name must be the same.

    Raises StoreCorrupt where it is not, StoreUnavailable where the archive cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir() if source.is_dir() else ():
            stands = target / path.name
            if not stands.exists():
                part = target / f"{path.name}.part"
                shutil.copyfile(path, part)
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                part.rename(stands)
            elif stands.read_bytes() != path.read_bytes():
                raise StoreCorrupt(f"{stands} is another than in the backup, and is left alone")
    except OSError as error:
        raise StoreUnavailable(f"the archive {target} cannot be written: {error.strerror}") from error
