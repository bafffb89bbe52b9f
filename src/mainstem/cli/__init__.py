"""The command line."""

from mainstem.cli.commands import app, main

__all__ = ["app", "main"]
