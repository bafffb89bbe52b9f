"""Change data capture: row changes, taken where the database keeps their order."""
