"""An application's topics, messages, and who sends and receives them, as an AsyncAPI document."""

from mainstem.asyncapi.document import asyncapi_document

__all__ = ["asyncapi_document"]
