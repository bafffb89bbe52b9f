"""Settings: typed, frozen, with their units in their names. The only reader of the environment.

Each is set by the variable of its name in capitals behind ``MAINSTEM_``: `http_port` by ``MAINSTEM_HTTP_PORT``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mainstem.errors import ConfigurationError

PREFIX = "MAINSTEM_"

_Milliseconds = Annotated[int, Meta(ge=1, le=31 * 24 * 3_600_000)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Settings(Struct, frozen=True, kw_only=True):
    """What can be chosen where the application runs."""

    app: str = "bank.main:application"
    """The application: a module and the name in it."""

    data_dir: Path = Path("data")
    """The folder that holds the files of the embedded form."""

    http_host: str = "127.0.0.1"
    """The address that the HTTP server binds to."""

    http_port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """The port that the HTTP server binds to; 0 takes a free one."""

    http_body_max_bytes: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)] = 65_536
    """The largest request body; a larger one is answered 413."""

    command_queue_max: _Count = 8_192
    """How many commands may wait for the writer; the next is told to try again."""

    command_batch_max: _Count = 512
    """How many commands one transaction may hold."""

    command_timeout_ms: _Milliseconds = 30_000
    """How long a command waits for its answer."""

    aggregates_remembered: _Count = 10_000
    """How many folded aggregates the writer remembers."""

    snapshot_every: _Count = 1_000
    """After how many events an aggregate's state is kept as a snapshot."""

    answers_kept_ms: _Milliseconds = 7 * 24 * 3_600_000
    """How long an idempotency key is known."""

    query_wait_max_ms: _Milliseconds = 5_000
    """How long a query waits for its position."""

    topic_partitions: Annotated[int, Meta(ge=1, le=1024)] = 4
    """The partitions of a topic that declares none."""

    olap_linger_ms: _Milliseconds = 25
    """How long the analytical store gathers records into one batch."""

    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    """What is logged: debug, info, warning or error."""

    log_json: bool = False
    """Log lines as JSON objects instead of text."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that the environment names. Raises ConfigurationError for an unknown name or an unusable value."""
    known = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    unknown = sorted(set(given) - set(known) - {"MAINSTEM_REQUIRE_STACK"})
    if unknown:
        raise ConfigurationError(f"no setting is named {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    named = {known[name]: value for name, value in given.items() if name in known}
    try:
        return msgspec.convert(named, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"a setting is not usable: {error}") from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"{value!r} is no {kind.__name__}")  # the decoder adds the setting's name
