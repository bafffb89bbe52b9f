"""What all open pages follow together: one poller asks for each path once, however many look at it."""

import asyncio
import time
from collections import deque
from typing import Any

import structlog

from mainstem.dashboard.api import Api, ApiAway, ApiError

_log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_AWAY_MAX_S = 5.0
_PATHS_MAX = 200
_AT_ONCE = 4
REMEMBERED_MAX = 120
"""How many answers are remembered at most of what has a history: two minutes of them."""


class Followed:
    """The last answer of one path. `version` grows with each look that changes anything; 0 before the first.

    `content` stays what it was while there is an `error`, which is the text to show.
    """

    def __init__(self, path: str, tenant: str | None = None) -> None:
        self.path = path
        self.tenant = tenant
        self.content: Any = None
        self.position: str | None = None
        self.error: str | None = None
        self.version = 0
        self.at_s = 0.0
        self.recent: deque[tuple[float, Any]] = deque(maxlen=1)
        self.followers = 0
        self._not_before_s = 0.0

    def remember(self, answers: int) -> None:
        """Keep so many of the last answers, with the times (by a monotonic clock) at which they came."""
        if answers > (self.recent.maxlen or 0):
            self.recent = deque(self.recent, maxlen=min(answers, REMEMBERED_MAX))

    def due(self, now_s: float) -> bool:
        """Whether it is to be asked for: somebody looks, and the API has not told to wait."""
        return self.followers > 0 and now_s >= self._not_before_s

    def answered(self, content: Any, position: str | None, now_s: float) -> None:
        """The API has answered."""
        self.content, self.position, self.error = content, position, None
        self.at_s = now_s
        self.recent.append((now_s, content))
        self.version += 1

    def failed(self, text: str, retry_after_s: float, now_s: float) -> None:
        """It has not."""
        self.error = text
        self._not_before_s = now_s + retry_after_s
        self.version += 1


class Watch:
    """The poller. It asks while somebody follows, once a second, and less often while the API is away."""

    def __init__(self, api: Api, *, every_s: float = _EVERY_S) -> None:
        self._api = api
        self._every_s = every_s
        self._paths: dict[tuple[str, str | None], Followed] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._away_s = 0.0
        self.away: str | None = None
        """Why nothing comes from the API at the moment; None while it answers."""

    def follow(self, path: str, remembered: int = 1, *, tenant: str | None = None) -> Followed:
        """Have it asked for until `leave`, of the tenant or of none, with so many answers remembered.

        Raises ApiError where too many paths are followed already.
        """
        found = self._paths.get((path, tenant))
        if found is None:
            if len(self._paths) >= _PATHS_MAX:
                raise ApiError(503, "too-many-followed", f"The pages follow {_PATHS_MAX} things already: close some")
            found = self._paths[path, tenant] = Followed(path, tenant)
        found.remember(remembered)
        found.followers += 1
        return found

    def leave(self, followed: Followed) -> None:
        """One follower less; the last one takes it away."""
        followed.followers -= 1
        if followed.followers <= 0:
            self._paths.pop((followed.path, followed.tenant), None)

    async def run(self) -> None:
        """Ask, until it is cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the poller goes on: pages that stand still, and nobody knows why, are worse
                self.away = f"the poller has met {type(error).__name__}"
                _log.exception("the dashboard's poller has met an error")
            await asyncio.sleep(self._away_s or self._every_s)

    async def look(self) -> None:
        """Ask once for everything that is due."""
        now_s = time.monotonic()
        due = [each for each in self._paths.values() if each.due(now_s)]
        if not due:
            return
        if self.away is not None:  # one asks whether it is back, not all
            due = due[:1]
        told = await asyncio.gather(*map(self.ask, due))
        if any(told):
            self.away, self._away_s = None, 0.0

    async def ask(self, followed: Followed) -> bool:
        """Ask for one now; whether the API is there."""
        text, api = followed.path == "/metrics", self._api.within(followed.tenant)
        async with self._at_once:
            try:
                if text:
                    content, position = await api.text(followed.path), None
                else:
                    answer = await api.get(followed.path)
                    content, position = answer.content, answer.position
            except ApiAway as error:
                self.away = str(error)
                self._away_s = min(_AWAY_MAX_S, max(self._every_s, self._away_s * 2))
                return False
            except ApiError as error:
                followed.failed(str(error), error.retry_after_s or self._every_s, time.monotonic())
                return True
        followed.answered(content, position, time.monotonic())
        return True
