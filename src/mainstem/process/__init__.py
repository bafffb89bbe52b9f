"""Process managers: what goes on across aggregates, with state, timeouts and compensation."""
