"""What applications and adapters are tested with: deciders in their own words, time and names that stand still.

`mainstem.testing.contracts` has the suites that every adapter of a port passes.
"""

from mainstem.testing.fakes import FakeClock, FakeIds
from mainstem.testing.process_story import ProcessStory, Reacted
from mainstem.testing.story import Decision, Story, given

__all__ = ["Decision", "FakeClock", "FakeIds", "ProcessStory", "Reacted", "Story", "given"]
