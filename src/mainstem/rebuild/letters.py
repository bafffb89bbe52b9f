"""Records that a listener was told to leave: their dead letters were dropped, so a rebuild leaves them too."""

from typing import Any

from mainstem.errors import UnknownTopic
from mainstem.listener.binding import Binding
from mainstem.listener.letters import BEHIND, DROPPED, FAILED, described
from mainstem.log.port import Log
from mainstem.log.scan import scan


def dropped_letters(binding: Binding[Any], log: Log) -> frozenset[tuple[str, int]]:
    """Key and offset of each such record, in the listener's topic."""
    waiting: dict[str, set[int]] = {}
    dropped: set[tuple[str, int]] = set()
    try:
        for page in scan(log, binding.dead_letter_topic):
            for letter in page:
                about = described(letter)
                if about.get("topic") != binding.topic or about.get("group", binding.group) != binding.group:
                    continue
                origin, of_key = int(about["offset"]), waiting.setdefault(letter.key, set())
                if about["reason"] in (FAILED, BEHIND):
                    of_key.add(origin)
                    continue
                closed = {each for each in of_key if each <= origin}
                of_key -= closed
                if about["reason"] == DROPPED:
                    dropped.update((letter.key, each) for each in closed)
    except UnknownTopic:  # the listener has never run
        return frozenset()
    return frozenset(dropped)
