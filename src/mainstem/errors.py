"""Every error that mainstem raises on purpose.

    MainstemError
    ├── CommandError
    │   ├── Refused                 the domain said no; kept with its reason
    │   ├── InvalidCommand          not a command that can be decided at all
    │   ├── IdempotencyConflict     a known key with other content
    │   ├── TryAgain                the queue is full, nothing was done
    │   ├── AnswerTimeout           no answer in time; the command may still be carried out
    │   ├── SubjectForgotten        personal data of somebody who is forgotten
    │   ├── KeyStoreUnavailable     the keys of personal data cannot be had
    │   └── ShuttingDown            the writer has stopped taking commands
    ├── StoreError                  of any file or server that holds data
    │   ├── WriteConflict           another writer came first: try it again as it is
    │   │   ├── VersionConflict     the stream has another version than expected
    │   │   └── TagConflict         events with a tag have come that the decision has not seen
    │   ├── StateDrift              the state row is not what the events say
    │   ├── StoreBusy               locked by another for longer than the limit
    │   ├── StoreFull               no space left
    │   ├── StoreCorrupt            damaged or foreign content
    │   └── StoreUnavailable        cannot be opened, read or written
    ├── CodecError                  bytes that are not the message they should be
    │   └── UnknownEvent            a stored event that no upcaster leads to today's class
    ├── LogError
    │   ├── UnknownTopic
    │   ├── TooManyTopics           more than it can have
    │   ├── TopicMismatch           declared otherwise than it was made
    │   ├── OffsetOutOfRange        retention has removed it, or it is not there yet
    │   ├── RecordTooLarge
    │   └── Fenced                  the partitions are another member's by now
    ├── ListenerError
    │   └── Transient               raised by a handler: worth another try
    ├── QueryError
    │   ├── InvalidQuery            parameters that make no sense
    │   └── NotYetThere             the view did not reach the position in time
    ├── AccessError                 who asks may not, or not now
    │   ├── Unauthenticated         nobody has said who asks
    │   │   └── InvalidToken        what says so cannot be believed
    │   ├── Forbidden               who asks is known, and may not
    │   ├── UnknownTenant           the tenant that is asked for is not there
    │   ├── TooManyRequests         who asks has asked too often
    │   └── KeysUnavailable         the keys that tokens are checked with cannot be had
    └── ConfigurationError          settings or declarations that cannot work

None knows of HTTP: the HTTP application gives each its status.
"""

__all__ = [
    "AccessError",
    "AnswerTimeout",
    "CodecError",
    "CommandError",
    "ConfigurationError",
    "Fenced",
    "Forbidden",
    "IdempotencyConflict",
    "InvalidCommand",
    "InvalidQuery",
    "InvalidToken",
    "KeyStoreUnavailable",
    "KeysUnavailable",
    "ListenerError",
    "LogError",
    "MainstemError",
    "NotYetThere",
    "OffsetOutOfRange",
    "QueryError",
    "RecordTooLarge",
    "Refused",
    "ShuttingDown",
    "StateDrift",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "SubjectForgotten",
    "TagConflict",
    "TooManyRequests",
    "TooManyTopics",
    "TopicMismatch",
    "Transient",
    "TryAgain",
    "Unauthenticated",
    "UnknownEvent",
    "UnknownTenant",
    "UnknownTopic",
    "VersionConflict",
    "WriteConflict",
]


class MainstemError(Exception):
    """The root: catch it to catch all of them."""


class CommandError(MainstemError):
    """A command was not carried out."""


class Refused(CommandError):
    """The domain refuses the command. `reason` is a stable, kebab-case name; the text is for people.

    `replayed` is whether this is the kept answer of an earlier command with the same idempotency key.
    """

    def __init__(self, reason: str, text: str, *, replayed: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.replayed = replayed


class InvalidCommand(CommandError):
    """The command cannot be decided: no decider takes it, or its aggregate's name is not usable."""


class IdempotencyConflict(CommandError):
    """The idempotency key was used before, for a command with other content."""


class TryAgain(CommandError):
    """The queue of waiting commands is full. Nothing was done; try again after `retry_after_s` seconds."""

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class AnswerTimeout(CommandError):
    """The answer did not come in time. Ask again with the same idempotency key to learn what became of it."""


class SubjectForgotten(CommandError):
    """The command has personal data of a subject who is forgotten. Nothing was done, and nothing of it is kept."""


class KeyStoreUnavailable(CommandError):
    """The keys that personal data are kept with cannot be had at the moment. Nothing was done."""


class ShuttingDown(CommandError):
    """The process is stopping and takes no more commands; this one was not carried out."""


class StoreError(MainstemError):
    """A store could not do what it was asked for; its transaction changed nothing."""


class WriteConflict(StoreError):
    """Another writer was in the way. The same transaction, tried again, may succeed."""


class VersionConflict(WriteConflict):
    """The stream's version is not the expected one: somebody else has appended."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream} is at version {actual}, not at {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class TagConflict(WriteConflict):
    """The last event with the tag has another number than expected: somebody else has appended one."""

    def __init__(self, tag: str, expected: int, actual: int) -> None:
        super().__init__(f"tag {tag} is at number {actual}, not at {expected}")
        self.tag = tag
        self.expected = expected
        self.actual = actual


class StateDrift(StoreError):
    """A state row is not what the events say: somebody else has changed it, or the code that makes it is another."""


class StoreBusy(StoreError):
    """The store is locked by another for longer than the busy limit."""


class StoreFull(StoreError):
    """The disk, or the store's size limit, is full."""


class StoreCorrupt(StoreError):
    """The content is damaged, truncated, or not this kind of file. It is not served."""


class StoreUnavailable(StoreError):
    """The store cannot be opened, read or written."""


class CodecError(MainstemError):
    """Bytes that do not decode to the message that they should be."""


class UnknownEvent(CodecError):
    """A stored event whose name and schema version lead to no event that is declared today."""


class LogError(MainstemError):
    """The log could not do what it was asked for."""


class UnknownTopic(LogError):
    """No topic of that name."""


class TopicMismatch(LogError):
    """The topic stands with another number of partitions than declared."""


class TooManyTopics(LogError):
    """The log has as many topics as it can have."""


class OffsetOutOfRange(LogError):
    """The offset is before the first or after the next one of its partition."""


class RecordTooLarge(LogError):
    """The record is larger than its topic allows."""


class Fenced(LogError):
    """The group has given the partitions to another member: what this one was about to write was not written."""


class ListenerError(MainstemError):
    """A message could not be handled."""


class Transient(ListenerError):
    """A handler raises this (or any `StoreBusy`) where another try may succeed; anything else is final."""


class QueryError(MainstemError):
    """A query was not answered."""


class InvalidQuery(QueryError):
    """Parameters that make no sense: an unknown column, a cursor or position that nobody gave out."""


class NotYetThere(QueryError):
    """The view did not reach the position in the time allowed."""


class AccessError(MainstemError):
    """A caller was turned away; nothing was done."""


class Unauthenticated(AccessError):
    """The caller has not shown who it is, where that is asked for."""


class InvalidToken(Unauthenticated):
    """The caller's token is not one, is not signed by a key that is known, or is not valid here and now."""


class Forbidden(AccessError):
    """The caller may not do this. `scopes` are those of which one would be enough, where any would."""

    def __init__(self, text: str, scopes: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.scopes = scopes


class UnknownTenant(AccessError):
    """The tenant that a request or a command of the command line names is not there."""


class TooManyRequests(AccessError):
    """The caller has asked more often than it may; it may ask again after `retry_after_s` seconds."""

    def __init__(self, text: str, retry_after_s: int = 1) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class KeysUnavailable(AccessError):
    """The keys that tokens are checked with cannot be had at the moment, so that no new token can be believed."""


class ConfigurationError(MainstemError):
    """Settings or declarations that cannot work; found at start.

    Of a command: its decision led to what is not as declared, such as an event that does not fit its class.
    """
