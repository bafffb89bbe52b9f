"""Layers as declarations: the steps of each, and what a row of it was made of in the layer before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from mainstem.errors import ConfigurationError, InvalidQuery, Refused
from mainstem.listener.binding import Binding
from mainstem.log.port import Topic
from mainstem.table import Table


class Below(NamedTuple):
    """Rows of a table: those whose columns equal `where`, which an index or the key leads to."""

    table: Table[Any]
    where: Mapping[str, Any]


def _nothing(_: Any) -> Sequence[Below]:
    return ()


@dataclass(frozen=True)
class Layer:
    """One layer: its `steps`, each a listener that keeps a table; `beside` are listeners that keep what it needs.

    `made_of(row)` says which rows of the layer before have made a row; the first layer's rows are made of none.
    `quality` is the table of `RuleCount` in which one of those beside counts what was held against the rules.
    Raises ConfigurationError for a step that keeps no table.
    """

    name: str
    steps: tuple[Binding[Any], ...]
    made_of: Callable[[Any], Sequence[Below]] = _nothing
    beside: tuple[Binding[Any], ...] = ()
    quality: Table[Any] | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise ConfigurationError(f"the layer {self.name} has no step")
        for step in self.steps:
            if step.projection is None:
                raise ConfigurationError(f"the step {step.group} of the layer {self.name} keeps no table")

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """Of its steps, in their order."""
        return tuple(step.projection.table for step in self.steps if step.projection is not None)

    @property
    def out(self) -> tuple[Topic, ...]:
        """The topics that its steps speak on, each once."""
        return tuple({topic.name: topic for step in self.steps for topic in step.out}.values())


@dataclass(frozen=True)
class Layers:
    """Layers in the order of the flow. Raises ConfigurationError where one does not hear what the one before says."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        names = [each.name for each in self.layers]
        if not names or len({*names}) < len(names):
            raise ConfigurationError(f"layers have names of their own, and there is one at least: {names}")
        for before, layer in pairwise(self.layers):
            said = {topic.name for topic in before.out}
            for step in layer.steps:
                if step.topic not in said:
                    text = f"the step {step.group} of the layer {layer.name} hears {step.topic!r}"
                    raise ConfigurationError(f"{text}; the layer before, {before.name}, speaks on {sorted(said)}")

    @property
    def listeners(self) -> tuple[Binding[Any], ...]:
        """Of all layers."""
        return tuple(each for layer in self.layers for each in (*layer.steps, *layer.beside))

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Of all layers."""
        return tuple(topic for layer in self.layers for topic in layer.out)

    @property
    def sources(self) -> tuple[str, ...]:
        """The topics that the first layer hears."""
        return tuple(dict.fromkeys(step.topic for step in self.layers[0].steps))

    def named(self, name: str) -> Layer:
        """Raises Refused where there is none of that name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(each.name for each in self.layers)
        raise Refused("layer-unknown", f"There is no layer {name[:40]!r}; known are {known}")

    def of_table(self, table: Table[Any]) -> Layer:
        """The layer that has the table. Raises InvalidQuery where none has."""
        for layer in self.layers:
            if any(own.name == table.name for own in layer.tables):
                return layer
        raise InvalidQuery(f"no layer has the table {table.name}")
