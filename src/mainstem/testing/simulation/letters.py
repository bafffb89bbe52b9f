"""Dead letters are tried again or dropped in the middle of everything, between two batches of their listener."""

from random import Random

from mainstem.listener.dead_letters import Retried
from mainstem.listener.runner import Runner
from mainstem.view.port import ViewStore, ViewTransaction

_SELDOM = 0.2
_ACTS = {"retry": 5, "retry the first": 3, "drop the first": 1, "drop": 1}


def settle(runner: Runner, views: ViewStore, choice: Random) -> str | None:
    """Now and then a key's letters, of a member that has it, are tried again or dropped. What was done, if anything."""
    if choice.random() > _SELDOM:
        return None
    keys = sorted(key for key in views.parked_since(runner.binding.group) if runner.has(key))
    if not keys:
        return None
    key, (act,) = choice.choice(keys), choice.choices(list(_ACTS), list(_ACTS.values()))
    first = act.endswith("first")
    if act.startswith("retry"):
        retried = runner.retry_batch(key, most=1 if first else None, also=_nothing)
        told = f"{retried.done} done{', the next fails' if retried.failure else ''}"
    else:
        told = str(runner.drop_letters(key, "a test", by="simulation", first=first, also=_nothing))
    return f"{runner.binding.group}: {act} of {key}: {told}"


def retry_all(runner: Runner, views: ViewStore) -> int:
    """All letters of the member's keys are tried again, each key's up to one that fails; how many are done."""
    done = 0
    for key in sorted(key for key in views.parked_since(runner.binding.group) if runner.has(key)):
        more = True
        while more:
            retried = runner.retry_batch(key, most=None, also=_nothing)
            done, more = done + retried.done, retried.more and retried.failure is None
    return done


def _nothing(_: ViewTransaction, __: Retried) -> None:
    """Nothing is written beside."""
