"""What `mainstem backup` and `mainstem restore` print."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from mainstem.application import Application
from mainstem.assembly.backup import Manifest, back_up, restore
from mainstem.settings import Settings


def back_up_to(
    declared: Application, settings: Settings, target: Path, out: Console, err: Console, *, as_json: bool
) -> None:
    """With a bar where somebody looks; as JSON the manifest."""
    columns = (TextColumn("copied"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("copied", total=None)
        made = back_up(declared, settings, target, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        out.print_json(msgspec.json.encode(made).decode())
        return
    _say(out, f"backed up to {target}: {made.events} events, all as they were appended")
    _say_root(out, made)


def restore_from(
    declared: Application, settings: Settings, source: Path, out: Console, *, replacing: bool, as_json: bool
) -> None:
    """And where the data that stood there are now; as JSON beside the manifest."""
    made, aside = restore(declared, settings, source, replacing=replacing)
    if as_json:
        out.print_json(msgspec.json.encode({"manifest": made, "aside": aside and str(aside)}).decode())
        return
    _say(out, f"restored to {settings.data_dir}: {made.events} events, all as they were appended")
    if aside is not None:
        _say(out, f"what stood there is in {aside}")
    _say_root(out, made)


def _say_root(out: Console, made: Manifest) -> None:
    if made.root is not None:
        _say(out, f"root: {made.root}")


def _say(out: Console, text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
