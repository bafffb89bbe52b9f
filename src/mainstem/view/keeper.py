"""Which group keeps which table.

Another group would begin at the start of its topic, and count all that stands in the table again; in another table of
the same group all that came before would be missing.
"""

from typing import Any

from mainstem.errors import ConfigurationError
from mainstem.table import Table
from mainstem.view.port import ViewStore, keeper_mark


def check_keeper(views: ViewStore, table: Table[Any], group: str) -> None:
    """Raises ConfigurationError where another group is known to keep the table, or the group another table."""
    keeper, kept = views.made_by(keeper_mark(table)), views.made_by(_kept_mark(group))
    if keeper not in (None, group):
        raise ConfigurationError(
            f"the view {table.name} is kept by the listener {keeper}, not by {group}, which would begin at the start of"
            f" its topic and count what stands there again: name the listener {keeper} again, or give the table another"
            " name as well, which is filled from the start"
        )
    if kept not in (None, table.name):
        raise ConfigurationError(
            f"the listener {group} keeps the view {kept}, and goes on from where that stands: {table.name} would lack"
            f" what came before. Name the view {kept} again, or give the listener another name as well, which begins at"
            " the start of its topic"
        )


def keep_keeper(views: ViewStore, table: Table[Any], group: str) -> None:
    """Have it known from now on; of a table that stood before too. Raises ConfigurationError as `check_keeper`."""
    for mark, value in ((keeper_mark(table), group), (_kept_mark(group), table.name)):
        if views.made_by(mark) is None:
            with views.transaction() as transaction:
                transaction.hold(mark)  # another process may begin with another group now
                if views.made_by(mark) is None:
                    transaction.mark(mark, value)
    check_keeper(views, table, group)


def _kept_mark(group: str) -> str:
    """The name under which the table of a group is marked."""
    return f"of {group}"
