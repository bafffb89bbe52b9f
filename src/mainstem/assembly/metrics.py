"""The figures of a running application, for Prometheus."""

from collections.abc import Iterator
from contextlib import suppress

from mainstem.assembly.places import raw_folder
from mainstem.assembly.running import Running
from mainstem.errors import StoreUnavailable
from mainstem.layers.archive import gone_of
from mainstem.query.metrics import Sample


def samples_of(running: Running) -> Iterator[Sample]:
    """Those of the moment: commands, snapshots, stages, rebuilds, and sealing. One that is not known is missing."""
    yield from _of_commands(running)
    yield from _of_stages(running)
    for each in running.rebuilds.progress():
        labels = (("view", each.view),)
        yield Sample("mainstem_rebuild_records", "Records that a rebuild has done", each.records, labels)
        yield Sample("mainstem_rebuild_target_records", "Records that it has to do in all", each.of, labels)
    yield from _of_archive(running)
    if running.sealed is not None:
        yield Sample("mainstem_seal_age_seconds", "How long ago all events were sealed", running.sealed.age_s())


def _of_archive(running: Running) -> Iterator[Sample]:
    layers = running.application.layers
    if layers is None:
        return
    with suppress(StoreUnavailable):
        gone = gone_of(raw_folder(running.settings), layers.sources)
        for topic in layers.sources:
            count = sum(each.count for each in gone if each.topic == topic)
            text = "Offsets that were removed from a topic before RAW's archive had them"
            yield Sample("mainstem_raw_gone", text, count, (("topic", topic),))


def _of_commands(running: Running) -> Iterator[Sample]:
    commands = running.commands.status()
    for outcome in ("accepted", "refused", "failed"):
        count = getattr(commands, outcome)
        yield Sample("mainstem_commands_total", "Commands by outcome", count, (("outcome", outcome),))
    for reason, count in commands.refusals.items():
        yield Sample("mainstem_refusals_total", "Refused commands by reason", count, (("reason", reason),))
    yield Sample("mainstem_command_batches_total", "Transactions of the command writer", commands.batches)
    yield Sample("mainstem_commands_waiting", "Commands that wait for the writer", commands.waiting)
    for outcome in ("kept", "dropped", "failed"):
        count = getattr(commands.snapshots, outcome)
        yield Sample("mainstem_snapshots_total", "Snapshots by outcome", count, (("outcome", outcome),))


def _of_stages(running: Running) -> Iterator[Sample]:
    for hop in running.hops():
        labels = (("stage", hop.name),)
        if hop.lag is not None:  # a gauge that is missing, rather than one that says 0
            yield Sample("mainstem_lag_messages", "Messages that a stage is behind", hop.lag, labels)
        if hop.lag_s is not None:
            yield Sample("mainstem_lag_seconds", "How long the oldest of those has waited", hop.lag_s, labels)
        if hop.handled is not None:
            yield Sample("mainstem_handled_total", "Messages that a stage has handled", hop.handled, labels)
        if hop.rejected is not None:
            yield Sample("mainstem_rejected_total", "Records that do not fit their datasource", hop.rejected, labels)
        yield Sample("mainstem_parked_keys", "Keys that wait behind a dead letter", hop.parked, labels)
        yield Sample("mainstem_stage_up", "1 while a stage works", hop.since is None, labels)
