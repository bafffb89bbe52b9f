"""Commands are decided, appended and answered, many in one transaction."""
