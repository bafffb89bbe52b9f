"""Data layers on the way to analytics, each a declared step with a table, and from all but the last a topic.

RAW keeps every change as it came; CLEANSED what is valid, once; CURATED business facts; INTEGRATED these with what
belongs to them; AGGREGATED their sums. A step is a `Binding` like any other, so that it is exact, watched, and rebuilt
from the layer before as any view is. Each row says what it was made of, so that a figure leads down to the changes.
"""

from mainstem.layers.declared import Below, Layer, Layers
from mainstem.layers.desk import LayersDesk, LayerView
from mainstem.layers.lineage import Traced, trace
from mainstem.layers.quality import Broken, RuleCount, quality_step
from mainstem.layers.raw import RawChange, raw_id, raw_steps
from mainstem.layers.rollup import Rolled, rolled_by

__all__ = [
    "Below",
    "Broken",
    "Layer",
    "LayerView",
    "Layers",
    "LayersDesk",
    "RawChange",
    "Rolled",
    "RuleCount",
    "Traced",
    "quality_step",
    "raw_id",
    "raw_steps",
    "rolled_by",
    "trace",
]
