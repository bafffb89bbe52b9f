"""The commands of `mainstem`, as tests go over them."""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup


def commands_of(group: TyperGroup, before: str = "") -> Iterator[tuple[str, Any]]:
    """All with their names; those of groups with the group's name before them."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield before + name, command
