"""Repairing an application that does not run, or of the distributed form one whose listeners do not."""

import os
from functools import partial

from mainstem.application import Application, Sides
from mainstem.assembly import bring_up
from mainstem.assembly.stores import open_integrity
from mainstem.errors import StoreCorrupt
from mainstem.eventstore.verifying import verify
from mainstem.repair import Repaired, repair
from mainstem.settings import Settings


def repaired(application: Application, settings: Settings, *, dry_run: bool) -> Repaired:
    """Put right, or only look at, what differs from the events, which are verified before.

    Raises StoreBusy where a process has the folder of the embedded form, StoreCorrupt where the events do not verify.
    """
    found = verify(partial(open_integrity, settings), workers=os.cpu_count() or 1)
    if not found.clean:
        first = found.findings[0]
        text = f"{first.kind} {first.stream} {first.version}, and all is repaired from the events: see mainstem verify"
        raise StoreCorrupt(f"the events do not verify: {text}")
    running = bring_up(application, settings)
    try:
        return repair(application, Sides(running.events, running.log, running.views, running.olap), dry_run=dry_run)
    finally:
        running.stop()
