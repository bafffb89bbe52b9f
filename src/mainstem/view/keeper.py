"""Which group keeps a table: another would begin at the start of its topic, and count all that stands there again."""

from typing import Any

from mainstem.errors import ConfigurationError
from mainstem.table import Table
from mainstem.view.port import ViewStore, keeper_mark


def check_keeper(views: ViewStore, table: Table[Any], group: str) -> None:
    """Raises ConfigurationError where another group is known to keep the table."""
    keeper = views.made_by(keeper_mark(table))
    if keeper not in (None, group):
        raise ConfigurationError(
            f"the view {table.name} is kept by the listener {keeper}, not by {group}, which would begin at the start of"
            f" its topic and count what stands there again: name the listener {keeper} again, or give the table another"
            " name, which is filled from the start"
        )


def keep_keeper(views: ViewStore, table: Table[Any], group: str) -> None:
    """Have it known from now on; of a table that stood before too. Raises ConfigurationError as `check_keeper`."""
    mark = keeper_mark(table)
    if views.made_by(mark) is None:
        with views.transaction() as transaction:
            transaction.hold(mark)  # another process may begin with another group now
            if views.made_by(mark) is None:
                transaction.mark(mark, group)
    check_keeper(views, table, group)
