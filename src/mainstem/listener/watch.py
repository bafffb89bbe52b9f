"""Whether a listener is at one batch for too long, and where it is: a handler that never returns raises nothing."""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from mainstem.messages import Record

_OWN = str(Path(__file__).parents[1])


class Watch:
    """Told by the thread that handles; asked by any."""

    def __init__(self) -> None:
        self._at: tuple[float, int, Sequence[Record]] | None = None

    def begin(self, records: Sequence[Record]) -> None:
        """This thread is at those records from now on."""
        self._at = (time.monotonic(), threading.get_ident(), records)

    def end(self) -> None:
        """It is done with them."""
        self._at = None

    def trouble(self, limit_s: float) -> str | None:
        """What it is at for longer than the limit, and at which line; None where it is not."""
        at = self._at
        if at is None or (for_s := time.monotonic() - at[0]) <= limit_s:
            return None
        first = at[2][0]
        what = f"{len(at[2])} records from {first.topic}/{first.partition}@{first.offset} on"
        return f"at one batch for {for_s:.0f} s ({what}){_line_of(at[1])}"


def _line_of(thread: int) -> str:
    """Where the code that the house has called is; else where the thread itself is."""
    innermost = frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_back is not None:
        if not _is_own(frame) and _is_own(frame.f_back):
            return _shown(frame)
        frame = frame.f_back
    return "" if innermost is None else _shown(innermost)


def _is_own(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)


def _shown(frame: FrameType) -> str:
    return f": {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
