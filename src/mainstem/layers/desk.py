"""What operators ask of an application's layers: what there is, what the rules have counted, where a figure is from."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mainstem.errors import InvalidQuery, Refused
from mainstem.layers.archive import Gone, gone_of
from mainstem.layers.declared import Layer, Layers
from mainstem.layers.lineage import Traced, conditions, trace
from mainstem.layers.quality import counts
from mainstem.view.port import ViewStore

LINEAGE_MAX = 1_000
"""How many rows may be asked for at once."""


class RuleView(Struct, frozen=True):
    """How many changes of a source broke a rule, or `passed` all."""

    source: str
    rule: str
    changes: int


class LayerView(Struct, frozen=True):
    """A layer: its tables, the topics that it hears and speaks on, its listeners, and what its rules have counted.

    Of the first, `gone` is what the log's retention removed before it was archived.
    """

    layer: str
    tables: list[str]
    hears: list[str]
    speaks: list[str]
    listeners: list[str]
    quality: list[RuleView]
    gone: list[Gone] = []


class LayersDesk:
    """Of an application that has layers, or has none; `archive` is the folder of RAW's files, if it can be seen."""

    def __init__(self, layers: Layers | None, views: ViewStore, archive: Path | None = None) -> None:
        self._layers = layers
        self._views = views
        self._archive = archive

    def groups(self) -> tuple[str, ...]:
        """The listeners whose tables are asked."""
        return () if self._layers is None else tuple(each.group for each in self._layers.listeners)

    def list(self) -> Sequence[LayerView]:
        """In the order of the flow; none where the application has no layers."""
        if self._layers is None:
            return []
        return [self._view(layer, first=number == 0) for number, layer in enumerate(self._layers.layers)]

    def lineage(self, layer: str, where: Sequence[str], *, limit: int, behind: str | None = None) -> Sequence[Traced]:
        """As `trace`, of conditions as COLUMN=VALUE. Raises Refused for an unknown layer, InvalidQuery for a column."""
        if self._layers is None:
            raise Refused("layer-unknown", "The application keeps no layers: see MAINSTEM_LAYERS")
        if not 1 <= limit <= LINEAGE_MAX:
            raise InvalidQuery(f"{limit} rows cannot be asked for: 1 to {LINEAGE_MAX} can")
        found = self._layers.named(layer)
        return trace(self._views, self._layers, found, conditions(found.tables, where), limit=limit, behind=behind)

    def _view(self, layer: Layer, *, first: bool) -> LayerView:
        quality = [] if layer.quality is None else counts([*self._views.scan(layer.quality)]).items()
        return LayerView(
            layer.name,
            [table.name for table in layer.tables],
            sorted({step.topic for step in layer.steps}),
            [topic.name for topic in layer.out],
            [each.group for each in (*layer.steps, *layer.beside)],
            [RuleView(source, rule, changes) for (source, rule), changes in quality],
            _gone_of(layer, self._archive) if first else [],
        )


def _gone_of(layer: Layer, archive: Path | None) -> list[Gone]:
    return [] if archive is None else gone_of(archive, tuple(step.topic for step in layer.steps))
