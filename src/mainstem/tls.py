"""Whose certificates a client of HTTPS takes."""

import ssl

from mainstem.errors import ConfigurationError


def trusting(authorities: str | None) -> ssl.SSLContext | bool:
    """What httpx is told: the authorities in that file and no others, or where none is named, those that are known.

    Raises ConfigurationError where the file cannot be read.
    """
    if authorities is None:
        return True
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # what is no certificate is one too
        raise ConfigurationError(f"no certificates can be read from {authorities}: {error.strerror}") from error
