"""Rebuilds a view whose records are there, in a process that is killed at its transaction of that number.

Arguments: the folder, the number (0: never), whether the kill comes before or behind the commit, whether a version
that was replaced is to be put back, and which of the bindings of `totals` it is.
"""

import os
import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from mainstem.log.sqlite import SqliteLog
from mainstem.rebuild import Rebuild
from mainstem.rebuild import rebuild as rebuild_module
from mainstem.view.sqlite import SqliteViews
from tests.mainstem.rebuild.totals import ALL, Interrupting


def main(folder: Path, number: int, when: str, back: bool, kind: str) -> int:
    """0 where it was done."""
    rebuild_module._PAGE, rebuild_module._PAGES = 3, 2
    count = [0]

    def step(at: str) -> None:
        count[0] += at == "before"
        if at == when and count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with closing(SqliteLog(folder / "log.db")) as log, closing(SqliteViews(folder / "views.db")) as views:
        store: Any = Interrupting(views, lambda: step("before"), lambda: step("behind"))
        rebuild = Rebuild(ALL[kind], log, [store])
        done = rebuild.roll_back(threading.Event()) if back else rebuild.run(threading.Event())
        sys.stdout.write(f"{done.state} {done.resumed} {done.error}\n")
        return 0 if done.state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "back", sys.argv[5]))
