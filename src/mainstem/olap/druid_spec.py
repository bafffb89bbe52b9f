"""The Kafka supervisor of a datasource, as Druid takes it in JSON.

Druid makes a value of another type fit as best it can, a null of what cannot, and of a list a row that counts several
times; and some expressions fail on a list. So each column is computed from the JSON text of its field, by an expression
that takes any text and gives null for what does not fit, and a filter throws away the rows that have a null: Druid's
reports count them as `thrownAway`.

Three values are others before any expression sees them: `true` is 1, a number that is too small for a double is 0, and
an integer in the place of the time is taken as milliseconds since the epoch.

Money is a LONG of cents. Text ("10.00") is read digit by digit and so exact up to 16 digits before the point. A JSON
number is a double to Druid: it is taken where exactly one amount of cents is that double and is below 2 to the power of
51 cents (22,517,998,136,852.48); else the row is thrown away, never rounded.

Late facts are thrown away by such a filter too, which compares a fact's time with its record's. Druid has a period for
that, `lateMessageRejectionPeriod`, but counts it from when a task was made: a topic that is read again, for a rebuild
or after a long stop, would lose what was in time when it was written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mainstem.errors import ConfigurationError
from mainstem.olap.names import check_names
from mainstem.olap.port import Column, Datasource

Json = dict[str, Any]

_TYPES = {"text": "string", "integer": "long"}
_TWO_PLACES = '^"-?[0-9]{1,16}[.][0-9]{2}"$'
_NUMBER = '^"?-?[0-9.]+([eE][-+]?[0-9]+)?"?$'
_NUMBER_MAX = "22517998136852.48"
_LOGGED_AT = "mainstem.loggedAt"
_MS = 1_000


@dataclass(frozen=True)
class Reading:
    """How Druid reads a topic.

    `bootstrap_servers` is Kafka as Druid sees it, `security` what its consumer is told beside: whoever reaches Druid
    can read it, so it has no password but says where Druid finds one (`druid.dynamic.config.provider`). `tasks` share
    the partitions, each in `replicas` copies, and publish what they have read as segments after `task_duration_s`.
    Kafka must answer by `completion_timeout_s` then.
    """

    bootstrap_servers: str
    security: Mapping[str, Any] = field(default_factory=dict)
    tasks: int = 1
    replicas: int = 1
    task_duration_s: int = 3600
    completion_timeout_s: int = 1800

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ConfigurationError("Druid is not told where Kafka is")
        if min(self.tasks, self.replicas, self.task_duration_s, self.completion_timeout_s) < 1:
            raise ConfigurationError(f"tasks, replicas and times of a supervisor are at least 1: {self}")


def supervisor_spec(datasource: Datasource, reading: Reading) -> Json:
    """The supervisor's JSON. Raises ConfigurationError for names that no engine could hold.

    All of the topic, from its earliest offset on, is read once, and only what was committed; events of any age are
    taken, unless a datasource declares them to be late.
    """
    check_names(datasource)
    return {
        "type": "kafka",
        "spec": {
            "dataSchema": _data_schema(datasource),
            "ioConfig": _io_config(datasource, reading),
            # The shortest period that Druid takes: the lag that it reports is this old at most.
            "tuningConfig": {"type": "kafka", "offsetFetchPeriod": "PT5S", "logParseExceptions": True},
        },
    }


def _data_schema(datasource: Datasource) -> Json:
    time = next(d for d in datasource.dimensions if d.name == datasource.time)
    facts = [column for column in datasource.fact_columns if column.kind in _TYPES]
    columns = [column for column in datasource.columns if column.kind in _TYPES and not column.what]
    return {
        "dataSource": datasource.name,
        "timestampSpec": {"column": time.source, "format": "iso"},
        "dimensionsSpec": {"dimensions": [{"type": _TYPES[c.kind], "name": c.name} for c in columns]},
        "transformSpec": {
            "filter": {"type": "and", "fields": [*(_present(column.name) for column in facts), *_timely(datasource)]},
            "transforms": [{"type": "expression", "name": c.name, "expression": _expression(c)} for c in facts],
        },
        **({} if datasource.rollup is None else {"metricsSpec": _metrics(datasource)}),
        "granularitySpec": {"type": "uniform", **granularity(datasource)},
    }


def granularity(datasource: Datasource) -> Json:
    """The periods of segments and of a rollup, as Druid tells them too."""
    rollup = datasource.rollup
    return {
        "segmentGranularity": datasource.partitioning.segments.upper(),
        "queryGranularity": {"type": "none"} if rollup is None else rollup.grain.upper(),
        "rollup": rollup is not None,
    }


def _metrics(datasource: Datasource) -> list[Json]:
    of = {column.dimension.name: column.name for column in datasource.fact_columns}
    return [
        {"type": "count", "name": column.name}
        if column.what == "count"
        else {"type": f"long{column.what.capitalize()}", "name": column.name, "fieldName": of[column.dimension.name]}
        for column in datasource.columns
        if column.what
    ]


def _timely(datasource: Datasource) -> list[Json]:
    if datasource.late_after_s is None:
        return []
    oldest = f'"{_LOGGED_AT}" - {datasource.late_after_s * _MS}'
    return [{"type": "expression", "expression": f'"__time" >= {oldest}'}]


def _input_format(datasource: Datasource) -> Json:
    """With the time of a record beside its value's fields, where that is asked for."""
    value = {"type": "json"}
    if datasource.late_after_s is None:
        return value
    return {"type": "kafka", "valueFormat": value, "timestampColumnName": _LOGGED_AT}


def _io_config(datasource: Datasource, reading: Reading) -> Json:
    kafka = {"bootstrap.servers": reading.bootstrap_servers, "isolation.level": "read_committed", **reading.security}
    return {
        "topic": datasource.topic,
        "inputFormat": _input_format(datasource),
        "consumerProperties": kafka,
        "useEarliestOffset": True,
        "taskCount": reading.tasks,
        "replicas": reading.replicas,
        "period": "PT5S",  # how often Druid looks whether a task has died
        "taskDuration": f"PT{reading.task_duration_s}S",
        "completionTimeout": f"PT{reading.completion_timeout_s}S",
    }


def _present(name: str) -> Json:
    return {"type": "not", "field": {"type": "null", "column": name}}


def _expression(column: Column) -> str:
    """A field that is missing is a null to Druid, and a text of its JSON none or `null`."""
    default = column.dimension.default
    if default is None:
        return _value(column)
    literal = _literal(default) if column.dimension.kind == "text" else str(int(str(default).replace(".", "")))
    text = f"to_json_string({msgspec.json.encode(column.dimension.source).decode()})"
    return f"if(nvl({text}, 'null') == 'null', {literal}, {_value(column)})"


def _literal(text: str | int) -> str:
    """In single quotes, with JSON's escapes, which are Druid's too."""
    escaped = json.dumps(text)[1:-1].replace('\\"', "\\u0022").replace("'", "\\u0027")
    return f"'{escaped}'"


def _value(column: Column) -> str:
    field = msgspec.json.encode(column.dimension.source).decode()
    text = f"to_json_string({field})"
    if column.dimension.kind == "decimal":
        return _cents(text)
    if column.dimension.kind == "integer":
        return f"if(regexp_like({text}, '^-?[0-9]{{1,19}}$'), parse_long({text}), null)"
    value = f"timestamp_parse({field})" if column.dimension.kind == "timestamp" else field
    return f"if(regexp_like({text}, '^\"'), {value}, null)"


def _cents(text: str) -> str:
    number = f"cast(replace({text}, '\"', ''), 'DOUBLE')"
    cents = f"cast(round({number} * 100), 'LONG')"
    exact = f"abs({number}) < {_NUMBER_MAX} && {cents} / 100.0 == {number}"
    digits = f"parse_long(regexp_replace({text}, '[\".]', ''))"
    rest = f"if(regexp_like({text}, '{_NUMBER}') && {exact}, {cents}, null)"
    return f"if(regexp_like({text}, '{_TWO_PLACES}'), {digits}, {rest})"
