"""Where something was declared, so that an error at the start names the line to fix."""

import dataclasses
import sys
from pathlib import Path
from types import FrameType

_OWN = str(Path(__file__).parents[1])
_SKIPPED = (_OWN, dataclasses.__file__, "<")


def place_of_caller() -> str:
    """file:line of the innermost call from outside of the house; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
