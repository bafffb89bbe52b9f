"""Events by stream: the source of truth."""
