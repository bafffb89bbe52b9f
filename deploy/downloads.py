"""The parts as files: fetched once into a cache, from Maven and from Debian's archive; nothing is installed."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

Say = Callable[[str], None]

_POMS = Path(__file__).parent / "poms"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FETCH_S = 900
_JAVA, _JAVA_S = 17, 30
_LEFT_OUT = ("perl", "perl-base", "perl-modules", "libperl")
_VERSIONS = {
    "kafka": "4.2.2",
    "debezium": "3.6.1.Final",
    "druid": "33.0.0",
    "druid-kafka": "33.0.0",
    "druid-datasketches": "33.0.0",
}


class StackUnavailable(Exception):
    """This machine cannot run the stack, or a part of it did not come up: the text says which and why."""


def cache_folder() -> Path:
    """Where the parts are kept, for all stacks of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mainstem" / "stack"


def missing_tools() -> list[str]:
    """What this machine lacks; empty where the stack can run."""
    needed = {"java": "Java 17", "mvn": "Maven", "apt-get": "apt-get and dpkg (for MySQL)", "dpkg": "dpkg (for MySQL)"}
    return [
        name for tool, name in needed.items() if shutil.which(tool) is None or (tool == "java" and not _java_will_do())
    ]


def _java_will_do() -> bool:
    """Whether it is of version 17 or later; one before 9 calls itself 1.8 and the like."""
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=_JAVA_S, check=False)
    found = re.search(r'version "(\d+)', said.stderr)
    return found is not None and int(found[1]) >= _JAVA


def fetch_all(say: Say) -> Path:
    """All parts in the cache; returns its folder. Raises StackUnavailable."""
    if missing := missing_tools():
        raise StackUnavailable(f"the real stack needs {', '.join(missing)}")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", say):
        for name, version in _VERSIONS.items():
            _once(_folder_of(cache, name), partial(_maven, name), f"{name} {version}", say)
        _once(cache / "mysql", _mysql, "MySQL", say)
    return cache


def jars(cache: Path, name: str) -> Path:
    """The folder of a part's jars."""
    return _folder_of(cache, name) / "lib"


def _folder_of(cache: Path, name: str) -> Path:
    """Another one wherever anything of what is fetched was declared otherwise."""
    declared = hashlib.sha256((_POMS / f"{name}.xml").read_bytes()).hexdigest()[:8]
    return cache / f"{name}-{_VERSIONS[name]}-{declared}"


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is downloading; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(folder: Path, fetch: Callable[[Path], None], title: str, say: Say) -> None:
    """A folder stands under its name only when it is complete."""
    if folder.exists():
        return
    say(f"downloading {title}")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    fetch(unfinished)
    unfinished.rename(folder)


def _maven(name: str, folder: Path) -> None:
    words = ["mvn", "-q", "-B", "-f", str(_POMS / f"{name}.xml"), "dependency:copy-dependencies"]
    _run([*words, f"-DoutputDirectory={folder / 'lib'}"], folder)


def _mysql(folder: Path) -> None:
    """Debian's own packages of the server, unpacked. They come from unstable, so with their own C library."""
    archive = _archive()
    for name in ("lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    source = folder / "sources.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {archive} sid main\n")
    options = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::State::status": folder / "status",
        "APT::Install-Recommends": "false",
    }
    apt = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], folder)
    plan = _run([*apt, "-s", "install", "mysql-server-core"], folder)
    packages = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    wanted = [name for name in packages if not name.startswith(_LEFT_OUT)]
    _run([*apt, "download", *wanted], folder / "debs")
    for package in sorted((folder / "debs").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
    for name in ("lists", "cache", "debs"):
        shutil.rmtree(folder / name)


def _archive() -> str:
    """The address of Debian's archive, as this machine's own sources name it."""
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], Path.cwd())
    found = sorted({line for line in targets.splitlines() if line.rstrip("/").endswith("/debian")})
    if not found or not _KEYRING.exists():
        raise StackUnavailable("MySQL is taken from Debian's archive, which this machine's package sources do not name")
    return found[0]


def _run(words: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StackUnavailable(f"{words[0]} has not come to an end in {_FETCH_S} s") from error
    if done.returncode:
        raise StackUnavailable(f"{words[0]} failed: {(done.stdout + done.stderr)[-1_000:].strip()}")
    return done.stdout
