"""The analytical store, fed from topics."""
