"""Where something was declared, so that an error at the start names the line to fix."""

import dataclasses
import importlib
import os
import sys
import traceback
from pathlib import Path
from types import FrameType

_OWN = f"{Path(__file__).parents[1]}{os.sep}"
_SKIPPED = (_OWN, dataclasses.__file__, importlib.__file__, "<")


def place_of_caller() -> str:
    """file:line of the innermost call from outside of the house; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def place_of_error(error: BaseException) -> str:
    """file:line of the innermost call from outside of the house that led to the error; empty where there is none."""
    steps = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    outside = [f"{file}:{line}" for file, line in steps if not file.startswith(_SKIPPED)]
    return outside[-1] if outside else ""
