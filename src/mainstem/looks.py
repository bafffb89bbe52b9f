"""Up to when each stage has everything, by the looks that are taken at it anyway.

Whoever looks at a stage finds how long the oldest message that it has not handled has waited: all that came to the
stage so long before the look began is handled. A fact passes several stages, though. So a look counts for no more than
was known of the stages before when it began: what these had let through by then, it has seen.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from mainstem.clock import wall_clock_ms
from mainstem.health import Seen


class Looks:
    """What is known of each stage. `before` has the stages from which each gets its messages.

    Clocks count: of processes on several machines they have to agree.
    """

    def __init__(self, before: Mapping[str, Sequence[str]], now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._before = before
        self._now_ms = now_ms
        self._has: dict[str, int] = {}
        self._using = threading.Lock()

    @property
    def stages(self) -> frozenset[str]:
        """All that are looked at."""
        return frozenset(self._before)

    def up_to(self, stage: str) -> tuple[str, ...]:
        """The stage and all from which something of it comes, in the order of the flow."""
        before = [name for each in self._before.get(stage, ()) for name in self.up_to(each)]
        return tuple(dict.fromkeys((*before, stage)))

    def take(self, stage: str, look: Callable[[], Seen]) -> Seen:
        """Look, and keep what it tells. A stage that does not work, or whose lag nobody knows, tells nothing.

        Of one that does not hold what it has handled nothing is known any more.
        """
        before = [self._has.get(name) for name in self._before.get(stage, ())]
        began_ms = self._now_ms()
        seen = look()
        known = [each for each in before if each is not None]
        if seen.works and seen.lag_s is not None and len(known) == len(before):
            has = min([began_ms - round(seen.lag_s * 1000), *known])
            with self._using:
                self._has[stage] = max(has, self._has.get(stage, has))
        elif not seen.holds:
            with self._using:
                self._has.pop(stage, None)
        return seen

    def has_up_to(self, stage: str) -> int | None:
        """All that was recorded before that time has come through to the stage; None where nobody can tell yet."""
        return self._has.get(stage)
