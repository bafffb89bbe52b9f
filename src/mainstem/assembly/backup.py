"""A copy of the embedded form's files, taken while they are written, and put back only once it is known to be whole.

The files are copied as of one moment each, in an order in which they fit together: views, then the log that filled
them, then the events behind that, then the archived events that those name, whose files never change. The analytical
store is left out: it is filled again from the log.

So are the keys of personal data: a backup that held them would bring back whoever was forgotten since. A restore leaves
them where they are.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mainstem.application import Application
from mainstem.assembly.archived_files import add_archive, copy_archive, is_archived
from mainstem.assembly.embedded import check_one_history, embedded
from mainstem.assembly.places import archive_folder, key_files
from mainstem.assembly.stores import open_integrity
from mainstem.assembly.views import engine_of
from mainstem.cdc.relay import producer_of
from mainstem.cdc.sqlite import SqliteCapture
from mainstem.clock import wall_clock_ms
from mainstem.durable import exchanged, flush
from mainstem.errors import ConfigurationError, StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.eventstore.verifying import Verified, verify
from mainstem.folder import Folder, owner_of
from mainstem.log.sqlite import SqliteLog
from mainstem.settings import Settings
from mainstem.sqlite import connect, mapped_errors

_FORMAT = 1
_MANIFEST = "backup.json"
_FILES = ("views.db", "log.db", "events.db")
_ARCHIVE = "archive"
_OTHERS = ("mainstem.lock",)
_PAGES = 1_000
_TRIES = 5
_CHUNK = 1 << 20


class Manifest(Struct, frozen=True, rename="camel"):
    """What a backup is of: the last root of its events, and the SHA-256 of each file."""

    format: int
    application: str
    made_at_ms: int
    events: int
    root: str | None
    files: dict[str, str]


Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""


def back_up(
    application: Application, settings: Settings, target: Path, progress: Progress = lambda *_: None
) -> Manifest:
    """Copy what the folder holds into a new one, beside a running application or without one.

    The copy is verified. Until it is whole the folder `target` is not there, only one of the same name with `.part`.
    Raises ConfigurationError where something is there already, StoreUnavailable where there is nothing to copy, or no
    place for it, StoreCorrupt where the events do not verify.
    """
    _check_form(settings)
    if target.exists():
        raise ConfigurationError(f"{target} is there already: name a folder that is not")
    missing = [name for name in _FILES if not (settings.data_dir / name).is_file()]
    if missing:
        raise StoreUnavailable(f"there is no {missing[0]} in the folder {settings.data_dir}")
    part = target.with_name(f"{target.name}.part")
    with _made(part), _owned(part):
        _copy_fitting(application, settings.data_dir, part, progress)
        archived = copy_archive(part / "events.db", archive_folder(settings), part / _ARCHIVE)
        found = _verified(part, None)
        files = {name: _digest(part / name) for name in (*_FILES, *(f"{_ARCHIVE}/{name}" for name in archived))}
        manifest = Manifest(_FORMAT, application.name, wall_clock_ms(), found.events, found.head, files)
        _write(part / _MANIFEST, msgspec.json.encode(manifest))
        _flush(part)
        part.rename(target)
        _flush(target.parent)
        (target / "mainstem.lock").unlink()  # not before: who finds the part without an owner empties it
    return manifest


def restore(
    application: Application, settings: Settings, source: Path, *, replacing: bool = False
) -> tuple[Manifest, Path | None]:
    """Put a backup in the place of the folder, once it is checked: its files, that they fit together, every event.

    With `replacing` what stands there is moved aside, and where to is told. Raises ConfigurationError for what is no
    whole backup of this application, or where data stand already, StoreBusy where a process runs on the folder or
    restores to it, StoreCorrupt for a damaged backup.
    """
    _check_form(settings)
    manifest = _manifest(application, source)
    place = settings.data_dir.resolve()
    staged = place.with_name(f"{place.name}.restoring")
    with _held(place, replacing=replacing), _made(staged):
        with _owned(staged):
            if any(name not in _FILES for name in manifest.files):
                (staged / _ARCHIVE).mkdir()
            for name, digest in manifest.files.items():
                shutil.copyfile(source / name, staged / name)
                if _digest(staged / name) != digest:
                    raise StoreCorrupt(f"{source / name} is not what was backed up")
        embedded(
            application, replace(settings, data_dir=staged, archive_dir=None)
        ).stop()  # looks whether the files fit together
        _verified(staged, manifest.root)
        if settings.archive_dir is not None:
            add_archive(staged / _ARCHIVE, settings.archive_dir)
        _flush(staged)
        aside = _put(staged, place, key_files(settings))
    return manifest, aside


def _check_form(settings: Settings) -> None:
    if settings.form != "embedded":
        raise ConfigurationError("the distributed form is backed up with MySQL's own tools: see docs/how-to/back-up.md")
    if engine_of(settings) != "sqlite":
        text = f"a backup holds views that live in SQLite, and these live in {engine_of(settings)}"
        raise ConfigurationError(f"{text}: see docs/how-to/choose-where-views-live.md")


def _copy_fitting(application: Application, folder: Path, part: Path, progress: Progress) -> None:
    """A change that the events have given away meanwhile may be in neither copy: then all is copied once more."""
    for tries_left in reversed(range(_TRIES)):
        for name in _FILES:
            (part / name).unlink(missing_ok=True)
        _copy(folder, part, progress)
        try:
            with (
                closing(SqliteCapture(part / "events.db", application.name, ())) as capture,
                closing(SqliteLog(part / "log.db")) as log,
            ):
                check_one_history(capture.bounds(), log.last_sequence(producer_of(application.name)))
        except StoreCorrupt:
            if not tries_left:
                raise
        else:
            return


def _copy(folder: Path, part: Path, progress: Progress) -> None:
    with ExitStack() as stack:
        sources = []
        for name in _FILES:
            source = connect(folder / name, read_only=True)
            stack.callback(source.close)
            with mapped_errors(folder / name):
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the moment that is copied
            sources.append(source)
        total = sum(int(source.pragma("page_count")) for source in sources)
        done = 0
        for name, source in zip(_FILES, sources, strict=True):
            with (
                mapped_errors(part / name),
                closing(apsw.Connection(str(part / name))) as copy,
                copy.backup("main", source, "main") as work,
            ):
                while not work.done:
                    work.step(_PAGES)
                    progress(done + work.page_count - work.remaining, total)
                done += work.page_count


def _verified(folder: Path, root: str | None) -> Verified:
    open_ = partial(open_integrity, Settings(data_dir=folder), read_only=False)  # a reader would leave files behind
    found = verify(open_, workers=os.cpu_count() or 1, root=root)
    if not found.clean:
        first = found.findings[0]
        raise StoreCorrupt(f"the events do not verify: {first.kind} {first.stream} {first.version}: {first.why}")
    return found


def _manifest(application: Application, source: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((source / _MANIFEST).read_bytes(), type=Manifest)
    except OSError:
        raise ConfigurationError(f"{source} is no whole backup: there is no {_MANIFEST} to be read") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"{source / _MANIFEST} is damaged: {error}") from error
    if manifest.format != _FORMAT or {name for name in manifest.files if not is_archived(name)} != set(_FILES):
        raise ConfigurationError(f"{source} is a backup of another release")
    if manifest.application != application.name:
        raise ConfigurationError(f"{source} is a backup of {manifest.application}, not of {application.name}")
    return manifest


def _check_free(place: Path, *, replacing: bool) -> None:
    """Whether nothing stands there, or what does may be moved aside, and nobody uses it."""
    stands = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    if [name for name in stands if name not in _OTHERS] and not replacing:
        raise ConfigurationError(f"{place} holds {stands[0]}: choose another folder, or replace it with --replace")


@contextmanager
def _held(place: Path, *, replacing: bool) -> Iterator[None]:
    """The place is this process's alone. Where it had to be made, it goes again if the work fails."""
    _check_free(place, replacing=replacing)
    made = not place.exists()
    owner = Folder(place)
    owner.acquire()
    try:
        _check_free(place, replacing=replacing)
        yield
    except BaseException:
        if made:
            shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        owner.release()


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """An empty folder of this process alone, whatever a broken-off attempt has left in it."""
    owner = Folder(folder)
    owner.acquire()
    try:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in _OTHERS:
                path.unlink()
        yield
    finally:
        owner.release()


def _put(staged: Path, place: Path, keys: Sequence[Path]) -> Path | None:
    """Give it its place, with the keys that are there; where what stood there has been moved to.

    The keys are in both until all is in its place: so whoever dies on the way leaves one of the two, whole.
    """
    stands = any(path.name not in _OTHERS for path in place.iterdir())
    own = [path.name for path in keys if path.resolve().parent == place]
    own = [name for name in (f"{each}{more}" for each in own for more in ("", "-wal")) if (place / name).is_file()]
    for name in own:
        os.link(place / name, staged / name)
    _flush(staged)
    aside = place.with_name(f"{place.name}.before-{wall_clock_ms()}")
    staged.rename(aside)
    if not exchanged(aside, place):
        aside.rename(staged)
        _rename_both(staged, place, aside)
    _flush(place)
    _flush(place.parent)
    for name in (f"{each}{more}" for each in own for more in ("", "-shm")):
        (aside / name).unlink(missing_ok=True)
    if not stands:
        shutil.rmtree(aside)
        return None
    return aside


def _rename_both(staged: Path, place: Path, aside: Path) -> None:
    """In two steps, where the system knows no single one."""
    place.rename(aside)
    try:
        staged.rename(place)
    except OSError:
        aside.rename(place)
        raise


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Removes the folder where the work on it fails, unless another process has it; names it in the disk's errors."""
    try:
        yield
    except StoreBusy:
        if owner_of(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise StoreUnavailable(f"{folder} cannot be written: {error.strerror}") from error
        raise


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """What is in it, and its own entries, are on the disk."""
    files = [each for each in folder.rglob("*") if each.is_file() and each.suffix in (".db", ".parquet")]
    for path in (*files, *{each.parent for each in files}, folder):
        flush(path)
