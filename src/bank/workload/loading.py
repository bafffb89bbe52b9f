"""A workload as history: its commands are carried out at the times at which they are given, as fast as they can be."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from bank.workload.acts import Act, acts
from bank.workload.plan import Plan
from bank.workload.told import Told, kind_of
from mainstem import Application, Origin, Refused
from mainstem.assembly import bring_up
from mainstem.command.answer import Answer
from mainstem.errors import ConfigurationError
from mainstem.settings import Settings

_UNDER_WAY_MAX = 2_000
_WORKLOAD = Origin(actor="workload")


def load(application: Application, settings: Settings, plan: Plan, tell: Callable[[int], None]) -> Told:
    """Bring it all in; `tell` hears how many more withdrawals are done. What stands behind follows when the bank runs.

    Raises ConfigurationError where cards of the same seed are there already; of the embedded form StoreBusy where a
    process runs.
    """
    running = bring_up(application, settings)
    try:
        running.commands.start()
        most = min(_UNDER_WAY_MAX, settings.command_queue_max)
        return _load(running.commands.submit, acts(plan), plan, tell, most)
    finally:
        running.stop()


def _load(
    submit: "Callable[..., Future[Answer]]",
    given: Iterable[Act],
    plan: Plan,
    tell: Callable[[int], None],
    under_way_max: int,
) -> Told:
    under_way: deque[tuple[Act, Future[Answer]]] = deque()
    accepted, refused = Counter[str](), Counter[str]()

    def see() -> None:
        act, future = under_way.popleft()
        kind = kind_of(act.command)
        try:
            future.result()
            accepted[kind] += 1
        except Refused as error:
            if error.reason == "card-exists":
                raise ConfigurationError(f"cards of the seed {plan.seed} are there already: take another one") from None
            refused[error.reason] += 1
        tell(kind == "withdrawals")

    for act in given:
        if len(under_way) >= under_way_max:
            see()
        under_way.append((act, submit(act.command, origin=_WORKLOAD, occurred_at_ms=act.at_ms)))
    while under_way:
        see()
    return Told(accepted, refused)
