"""A look at ZooKeeper, by which Druid's processes find each other.

Source: the Administrator's Guide, "The Four Letter Words"; `srvr` is the one that is answered unless told otherwise.
"""

import socket
from contextlib import suppress

from mainstem.errors import ConfigurationError, StoreUnavailable

_PORT = 2181
_ASK_S = 2.0
_ANSWER_MAX = 4_096


class ZooKeeper:
    """The members at `addresses`, as "10.0.0.1:2181,10.0.0.2:2181"; the port is 2181 unless given."""

    def __init__(self, addresses: str) -> None:
        self._members = [_member(each.strip()) for each in addresses.split(",")]

    def look(self) -> str | None:
        """Which members do not serve; None where all do. Raises StoreUnavailable where none does, and why."""
        silent = [(f"{host}:{port}", why) for host, port in self._members if (why := _why_silent(host, port))]
        if len(silent) == len(self._members):
            raise StoreUnavailable("; ".join(f"ZooKeeper at {place} {why}" for place, why in silent))
        return "; ".join(f"{place} {why}" for place, why in silent) or None


def _member(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(_PORT)
    if not host.strip("[]") or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ConfigurationError(f"the address of ZooKeeper must be as 127.0.0.1:{_PORT}, not {address[:100]!r}")
    return host.strip("[]"), int(port)


def _why_silent(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), _ASK_S) as connection:
            connection.sendall(b"srvr")
            connection.settimeout(_ASK_S)
            said = b""
            with suppress(ConnectionResetError):
                while len(said) < _ANSWER_MAX and (more := connection.recv(_ANSWER_MAX)):
                    said += more
    except OSError as error:
        return f"cannot be reached: {error}"
    if b"Mode: " in said:
        return None
    return " ".join(f"does not serve: {said.decode(errors='replace')}".split())[:300]
