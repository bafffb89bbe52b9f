"""A number of a row in Druid's SQL, for sums that tell whether two datasources have the same rows.

Druid has no function that hashes a text. So of a text there go in its length and its first 48 letters and digits of
ASCII, twelve at a time as a number of base 36, which takes small and capital letters for one. All is mixed so that two
rows that exchange a value have another sum, and wraps around at 64 bits.
"""

from mainstem.olap.port import Column, Datasource

_PIECE, _PIECES = 12, 4
_PRIME = 1_099_511_628_211
_BEGIN = 5_381


def checksum(datasource: Datasource) -> str:
    """The expression. The longer a text may be, the more it costs: some microseconds for a row."""
    mixed = str(_BEGIN)
    for column in datasource.columns:
        for number in _numbers(column):
            mixed = f"BITWISE_XOR({mixed}, {number}) * {_PRIME}"
    return f"({mixed})"


def _numbers(column: Column) -> list[str]:
    name = f'"{column.name}"'
    if column.kind == "timestamp":
        return [f"TIMESTAMP_TO_MILLIS({name})"]
    if column.kind == "integer":
        return [name]
    letters = f"REGEXP_REPLACE({name}, '[^0-9A-Za-z]', '')"
    pieces = (f"SUBSTRING({letters}, {number * _PIECE + 1}, {_PIECE})" for number in range(_PIECES))
    return [f"CHAR_LENGTH({name})", *(f"COALESCE(PARSE_LONG({piece}, 36), 0)" for piece in pieces)]
