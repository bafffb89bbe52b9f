"""The bank's dashboard on the Druid of a stack, as of now."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache

from bank.analytics import BANKAPP
from deploy.application import environment
from deploy.configuration import Place
from deploy.superset.board import board
from deploy.superset.dataset import druid_engine
from mainstem.assembly.views import make_views
from mainstem.rebuild.pointing import Pointers
from mainstem.settings import read_settings


@contextmanager
def live_board(place: Place) -> Iterator[Callable[[], Mapping[str, str]]]:
    """Its files, with the name that a rebuild has given the datasource. Raises StoreError where MySQL is away."""
    files = cache(board(druid_engine(place.host, place.ports.broker)).files)
    with closing(make_views(read_settings(environment(place)))) as views:
        yield lambda: files(Pointers(views).live(BANKAPP).name)
