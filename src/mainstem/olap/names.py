"""Names of datasources and their dimensions that every engine can hold."""

import re

from mainstem.errors import ConfigurationError
from mainstem.olap.port import Datasource

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RESERVED = "mainstem_"


def check_names(datasource: Datasource) -> None:
    """Raises ConfigurationError where a name is no identifier, is taken, or would stand twice."""
    names = [dimension.name for dimension in datasource.dimensions]
    for name in (datasource.name, *names):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} of datasource {datasource.name!r} is no identifier")
    if datasource.name.lower().startswith(_RESERVED):
        raise ConfigurationError(f"datasource {datasource.name}: names that begin with {_RESERVED} are kept back")
    columns = dict.fromkeys((*datasource.fact_columns, *datasource.columns))
    derived = [column.name for column in columns if column.name != column.dimension.name]
    if len({name.lower() for name in (*names, *derived)}) != len(names) + len(derived):
        raise ConfigurationError(f"datasource {datasource.name} has two dimensions of one name")
    if len({dimension.source for dimension in datasource.dimensions}) != len(names):
        raise ConfigurationError(f"datasource {datasource.name} makes two dimensions of one field")
