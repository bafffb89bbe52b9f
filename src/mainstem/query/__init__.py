"""Reading: typed reads, waiting for a position, the HTTP application."""
