"""The bank whose commands are answered at once and done by nobody: the limit that HTTP itself sets."""

from typing import Any

from mainstem.cli import main
from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus

_answers: dict[str, Answer] = {}


async def _at_once(self: CommandBus, command: Any, **_: Any) -> Answer:
    """The first command of each type is carried out, so that there is an answer to give to the others."""
    name = type(command).__name__
    if name not in _answers:
        _answers[name] = self.execute(command)
    return _answers[name]


if __name__ == "__main__":
    CommandBus.send = _at_once  # type: ignore[method-assign]
    main()
