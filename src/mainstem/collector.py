"""Python's collector of cycles, as the platform's processes have it."""

import gc

_OBJECTS = 10_000
"""A round for so many objects more than before: a batch in hand is thousands, which are gone with it, and none of them
is part of a cycle."""


def collect_rarely() -> None:
    """Of the process. At Python's own 700 the rounds take 2 to 3 % of what listeners and commands take."""
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
