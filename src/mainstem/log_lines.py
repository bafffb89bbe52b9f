"""How the process logs: one line an event, on standard error, as text or as JSON."""

import logging
import sys

import structlog

from mainstem.settings import Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_by(settings: Settings) -> None:
    """As the settings say, unless the program has set up structlog by itself."""
    if not structlog.is_configured():
        configure(settings.log_level, json=settings.log_json)


def configure(level: str, *, json: bool) -> None:
    """Set up structlog for this process; called once, where a program begins.

    Kafka's client writes lines of its own, hundreds a second while a broker is away. What matters of them is also an
    error of mainstem's, so they are shown only where everything is.
    """
    logging.getLogger("mainstem.kafka").setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # never with the values of variables: some are secrets
    )
    renderer = structlog.processors.JSONRenderer() if json else console
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if json else _keep,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _keep(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event
