"""`python -m deploy superset`: the bank in Superset, of either form, until Ctrl-C."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial

import httpx

from bank.analytics import BANKAPP
from deploy.downloads import Say, StackUnavailable
from deploy.superset.bundle import slug_of
from deploy.superset.mirror import Mirror, MirrorFailed
from deploy.superset.serve import USER, Home, opened, prepare, served
from mainstem.errors import MainstemError

QUERY = "/analytics/query"
_TIMEOUT_S = 15.0  # the API takes ten for a question at most
_LOOK_S = 0.2

Assets = Callable[[], Mapping[str, str]]
"""The files to be imported as of now, by their paths. Raises MainstemError where that cannot be told."""


def run(home: Home, assets: Assets, mirror: Mirror | None, every_s: float, say: Say) -> None:
    """Bring it up, import, serve; so often, import what changed and, where there is a mirror, copy the facts.

    Raises StackUnavailable.
    """
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, asked))
    try:
        with opened(home):
            _run(Importing(home, assets, say), None if mirror is None else Following(mirror, say), every_s, say)
    except KeyboardInterrupt:
        say("stopping")
    except RuntimeError:
        if not asked:
            raise
        say("stopping")  # DuckDB was asked something in that moment, and says so in its own way


def _stop(asked: list[int], number: int, _: object) -> None:
    asked.append(number)
    raise KeyboardInterrupt


def _run(importing: "Importing", following: "Following | None", every_s: float, say: Say) -> None:
    say("Superset is brought up; for the first time this takes about a minute.")
    if following is not None:
        following.begin()
    home, slug = importing.home, importing.begin()
    with served(home) as process:
        say(f"\nThe bank's dashboard is at {home.url}/superset/dashboard/{slug}/")
        say(f"The user is {USER}, the password is in {home.password_file}. Ctrl-C stops it.")
        if following is not None:
            say(f"It shows a copy of the bank's facts that is brought up to date every {every_s:g} s.")
        _watch(process, importing, following, every_s)


class Importing:
    """Imports, and again where something else is to be imported: a datasource has a new name once it is rebuilt."""

    def __init__(self, home: Home, assets: Assets, say: Say) -> None:
        self.home = home
        self._assets = assets
        self._say = say
        self._files: Mapping[str, str] = {}

    def begin(self) -> str:
        """Of the dashboard what it is called in its address. Raises StackUnavailable."""
        try:
            self._files = self._assets()
        except MainstemError as error:
            raise StackUnavailable(f"what is to be shown cannot be told: {error}") from error
        prepare(self.home, self._files)
        return slug_of(self._files)

    def look(self) -> None:
        """Once. What cannot be told, or imported, is tried the next time."""
        try:
            files = self._assets()
        except MainstemError:
            return  # what is shown is shown on
        if files != self._files:
            try:
                prepare(self.home, files)
            except StackUnavailable as error:
                self._say(str(error))
                return
            self._files = files
            self._say("What is shown has changed, and was imported again.")


class Following:
    """Copies, and says where that begins to fail and to go on again."""

    def __init__(self, mirror: Mirror, say: Say) -> None:
        self._mirror = mirror
        self._say = say
        self._failed = ""

    def begin(self) -> None:
        """Before anybody looks: once, or empty where the application does not answer."""
        self._mirror.begin()
        self.copy()

    def copy(self) -> None:
        """Once."""
        try:
            self._mirror.copy()
        except (MirrorFailed, OSError) as error:
            if self._failed != str(error):
                self._say(f"The facts are not copied, what is shown is of before: {error}")
            self._failed = str(error)
            return
        if self._failed:
            self._say("The facts are copied again.")
        self._failed = ""


def api_client(api: str, token: str | None) -> httpx.Client:
    """Of the bank's API, on behalf of whoever has the token."""
    headers: Mapping[str, str] = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=api, headers=headers, timeout=_TIMEOUT_S)


def mirror_of(home: Home, client: httpx.Client) -> Mirror:
    """The copy of the bank's facts in that folder."""
    return Mirror(BANKAPP, home.facts, client, QUERY)


def _watch(
    process: "subprocess.Popen[bytes]", importing: Importing, following: Following | None, every_s: float
) -> None:
    due = time.monotonic() + every_s
    while process.poll() is None:
        if time.monotonic() >= due:
            importing.look()
            if following is not None:
                following.copy()
            due = time.monotonic() + every_s
        time.sleep(_LOOK_S)
    raise StackUnavailable(f"Superset has ended with {process.returncode}")
