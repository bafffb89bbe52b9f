"""Moving an application's events to the archive, beside its processes or without them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from msgspec.structs import replace

from mainstem.application import Application
from mainstem.assembly.places import archive_folder, mysql_server
from mainstem.assembly.stages import Stages
from mainstem.assembly.stores import open_integrity
from mainstem.clock import wall_clock_ms
from mainstem.errors import ConfigurationError
from mainstem.eventstore.archiving import Asked, EventRows, Moved, move
from mainstem.eventstore.mysql_archive import MysqlEventRows
from mainstem.eventstore.sqlite_archive import SqliteEventRows
from mainstem.settings import Settings


def archive(
    application: Application,
    settings: Settings,
    asked: Asked,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Moved:
    """Move events that stand behind a snapshot of the application's code, are sealed, and have reached the log.

    `asked` names no fingerprints: they are the application's. Raises ConfigurationError where nothing captures the
    events yet, and what `mainstem.eventstore.archiving.move` raises.
    """
    fingerprints = tuple(dict.fromkeys(decider.fingerprint() for decider in application.all_deciders()))
    asked = replace(asked, fingerprints=fingerprints)
    with closing(open_integrity(settings)) as integrity, _rows(application, settings) as (rows, captured_to):
        return move(
            rows,
            integrity,
            archive_folder(settings),
            replace(asked, captured_to=captured_to),
            clock_ms=wall_clock_ms,
            dry_run=dry_run,
            progress=progress,
        )


@contextmanager
def _rows(application: Application, settings: Settings) -> Iterator[tuple[EventRows, int | None]]:
    """Embedded, what is captured is kept until the log has it, so that the rows need not stay; but a capture that is
    new begins with the rows. Debezium may have to read rows again, so what has not reached the topic stays.
    """
    if settings.form == "distributed":
        with closing(Stages(application.configured(settings), settings, {})) as stages:
            captured_to = stages.captured_to()
        with closing(MysqlEventRows(mysql_server(settings))) as rows:
            yield rows, captured_to
        return
    with closing(SqliteEventRows(settings.data_dir / "events.db")) as embedded:
        if not embedded.is_captured():
            raise ConfigurationError("nothing captures the events yet: start the application once, then again")
        yield embedded, None
