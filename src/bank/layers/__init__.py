"""The bank's data layers, each a module in the order of the flow: see `mainstem.layers`."""

from bank.layers.declared import LAYERS

__all__ = ["LAYERS"]
