"""Commands over HTTP on MySQL, under load by `wrk`, against one commit for each command on the same server."""

from functools import partial

from figures import Figure, show
from load import CONNECTIONS, Load, figures_of, wrk
from stack_under_test import api
from tests.distributed import Deployed


def measure(bank: Deployed) -> None:
    """Both numbers of connections."""
    figures: list[Figure] = []
    for connections in CONNECTIONS:
        grouped, single = partial(_load, bank, connections), partial(_load, bank, connections, command_batch_max="1")
        figures += figures_of(connections, grouped, single, "one commit per command", ">= 8")
    show("Commands over HTTP on MySQL", figures)


def _load(bank: Deployed, connections: int, **settings: str) -> Load:
    with api(bank, **settings) as (client, _):
        return wrk(client, connections)
