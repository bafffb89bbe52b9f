"""Repairing an application that does not run, or of the distributed form one whose listeners do not."""

import os
from collections.abc import Collection
from contextlib import closing
from functools import partial

from mainstem.application import Application, Sides
from mainstem.assembly import bring_up
from mainstem.assembly.stores import open_integrity, state_tables
from mainstem.errors import StoreCorrupt, TagConflict
from mainstem.eventstore.diagnosis import Finding
from mainstem.eventstore.mending_tags import Wrong, mending
from mainstem.eventstore.verifying import verify
from mainstem.repair import Damage, Repaired, repair
from mainstem.settings import Settings


def repaired(application: Application, settings: Settings, *, dry_run: bool) -> Repaired:
    """Put right, or only look at, what differs from the events, which are verified before.

    Raises StoreBusy where a process has the folder of the embedded form, StoreCorrupt where the events do not verify;
    what the index of tags has wrong is put right from them.

    A state table with other columns than are declared is made anew, and filled; a dry run tells of nothing else then,
    since the application cannot be opened as it stands.
    """
    found = verify(partial(open_integrity, settings), workers=os.cpu_count() or 1)
    for first in (each for each in found.findings if each.kind != "tag"):
        text = f"{first.kind} {first.stream} {first.version}, and all is repaired from the events: see mainstem verify"
        raise StoreCorrupt(f"the events do not verify: {text}")
    tables = _tables_made(application, settings, dry_run=dry_run)
    if dry_run and tables:
        return Repaired(dry_run, tables, ())
    running = bring_up(application, settings)
    try:
        tags = _tags_mended(settings, found.findings, dry_run=dry_run)
        rows = repair(application, Sides(running.events, running.log, running.views, running.olap), dry_run=dry_run)
        return Repaired(dry_run, tables + tags.damages + rows.damages, tags.left + rows.left)
    finally:
        running.stop()


def _tables_made(application: Application, settings: Settings, *, dry_run: bool) -> tuple[Damage, ...]:
    made = list[Damage]()
    with state_tables(settings) as tables:
        for table in application.state_tables():
            if differs := tables.make_anew(table, dry_run=dry_run):
                stands, wanted = (", ".join(columns) for columns in differs)
                made.append(Damage(table.name, "(its columns)", stands, wanted))
    return tuple(made)


def _tags_mended(settings: Settings, findings: Collection[Finding], *, dry_run: bool) -> Repaired:
    if not findings:
        return Repaired(dry_run, (), ())
    with closing(open_integrity(settings, read_only=dry_run)) as integrity:
        plan = mending(integrity, findings)
        left = list(plan.left)
        for mend in () if dry_run else plan.mends:
            try:
                integrity.mend_tag(mend)
            except TagConflict:
                left.append(f"tag {mend.tag!r}: an event with it was appended meanwhile; repair again")
    return Repaired(dry_run, tuple(map(_damage, plan.wrong)), tuple(left))


def _damage(wrong: Wrong) -> Damage:
    if wrong.number is None:
        return Damage("tag_head", wrong.tag, wrong.stands, wrong.should)
    return Damage("event_tag", f"{wrong.tag} {wrong.number}", wrong.stands, wrong.should)
