"""What a command is answered, now and whenever it is asked again with the same idempotency key."""

import hashlib
from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Struct

from mainstem.codec import Decoder, encode
from mainstem.errors import CodecError, Refused
from mainstem.eventstore.port import KeptAnswer
from mainstem.messages import Command, Position


class Answer(Struct, frozen=True, kw_only=True):
    """An accepted command: its aggregate, the version it brought that to, and the state row as it stands then.

    Of a tenant's aggregate the id is ``/tenant/id``, as in its rows.
    """

    aggregate_id: str
    version: int
    occurred_at_ms: int
    row: Struct | None = None
    replayed: bool = False

    @property
    def position(self) -> Position:
        """What a query can wait for, to see this command's effect."""
        return Position(self.aggregate_id, self.version)


class _Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    aggregate_id: str = ""
    version: int = 0
    occurred_at_ms: int = 0
    row: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""
    text: str = ""


_KEPT: Decoder[_Kept] = Decoder(_Kept)


def digest_of(command: Command) -> bytes:
    """A name for the command's whole content; equal contents have equal names."""
    return hashlib.sha256(encode(command)).digest()


def keep(digest: bytes, outcome: Answer | Refused) -> KeptAnswer:
    """The outcome in the form that is stored beside its events."""
    if isinstance(outcome, Refused):
        return KeptAnswer(digest, encode(_Kept(reason=outcome.reason, text=str(outcome))))
    kept = _Kept(
        aggregate_id=outcome.aggregate_id,
        version=outcome.version,
        occurred_at_ms=outcome.occurred_at_ms,
        row=msgspec.Raw(encode(outcome.row)),
    )
    return KeptAnswer(digest, encode(kept))


def replay(kept: KeptAnswer, row_type: Any, today: Callable[[], Struct | None]) -> Answer | Refused:
    """The outcome that was stored, its row of that type; where rows were others then, the one that stands `today`.

    Raises CodecError where it can no longer be read.
    """
    stored = _KEPT.one(kept.answer)
    if stored.reason:
        return Refused(stored.reason, stored.text, replayed=True)
    return Answer(
        aggregate_id=stored.aggregate_id,
        version=stored.version,
        occurred_at_ms=stored.occurred_at_ms,
        row=_row_of(stored, row_type, today) if row_type else None,
        replayed=True,
    )


def _row_of(stored: _Kept, row_type: Any, today: Callable[[], Struct | None]) -> Struct | None:
    try:
        return cast(Struct | None, Decoder[Any](row_type | None).one(bytes(stored.row)))
    except CodecError:
        return today()
