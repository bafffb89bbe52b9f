"""The bank's dashboard on an engine."""

from bank.analytics import BANKAPP
from deploy.superset.bundle import Board
from deploy.superset.charts import ROWS
from deploy.superset.dataset import Engine


def board(engine: Engine) -> Board:
    """Of the bank's datasource."""
    return Board("bank", "The bank", BANKAPP, engine, ROWS)
