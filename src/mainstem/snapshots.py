"""When an aggregate's state is kept beside its events, so that the next load need not begin at the first of them."""

from dataclasses import dataclass

from mainstem.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """A snapshot is due where any of what is named here has come, and at least one event since the last.

    `every_events`: so many events since the last snapshot, or since the stream's beginning. `every_s`: so many seconds
    since then, seen when a command comes. `sourcing_ms`: loading the aggregate took at least as long. With none of
    them snapshots are neither kept nor read.

    A snapshot is read by the fold alone that made it, which its code names; with a `version` that text names it
    instead, and whoever changes `evolve` has to change the version too.
    """

    every_events: int | None = None
    every_s: float | None = None
    sourcing_ms: float | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        for name in ("every_events", "every_s", "sourcing_ms"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"snapshots: {name} must be above 0, not {value}")

    @property
    def never(self) -> bool:
        """Whether nothing makes one due."""
        return self.every_events is None and self.every_s is None and self.sourcing_ms is None

    def due(self, events: int, age_ms: int, sourced_ms: float) -> bool:
        """Whether one is, so many events and milliseconds after the last, where loading has taken that long."""
        if events < 1:
            return False
        return (
            (self.every_events is not None and events >= self.every_events)
            or (self.every_s is not None and age_ms >= self.every_s * 1000)
            or (self.sourcing_ms is not None and sourced_ms >= self.sourcing_ms)
        )
