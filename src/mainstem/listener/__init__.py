"""Listeners: declared bindings that keep views and feed topics, exactly once."""
