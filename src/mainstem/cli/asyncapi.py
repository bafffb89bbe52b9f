"""`mainstem asyncapi`: the application's topics and messages as an AsyncAPI document."""

import msgspec
import typer

from mainstem.cli.begin import begin


def asyncapi() -> None:
    """Print the AsyncAPI document: topics, messages, and who sends and receives them, as JSON.

    For example: mainstem asyncapi > asyncapi.json
    """
    from mainstem.asyncapi import asyncapi_document

    settings, declared = begin()
    document = msgspec.json.format(msgspec.json.encode(asyncapi_document(declared, settings)))
    typer.echo(document.decode())
