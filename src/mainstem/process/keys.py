"""Whose process a row is of, by its key."""

from collections.abc import Callable

from mainstem.errors import ConfigurationError
from mainstem.tenancy import MARK, split


class Keys:
    """Keys of processes, where tenants are kept `apart` or are not.

    Where they are not, `has_tenants` tells whether some have come since, of another process whose settings name them.
    """

    def __init__(self, *, apart: bool = False, has_tenants: Callable[[], bool] = lambda: False) -> None:
        self.apart = apart
        self._has_tenants = has_tenants

    def split(self, key: str) -> tuple[str | None, str]:
        """The tenant and the process. Raises ConfigurationError for a tenant's where none are known here."""
        if self.apart:
            return split(key)
        if key.startswith(MARK) and self._has_tenants():
            raise ConfigurationError(f"{key} is a tenant's: name them in MAINSTEM_TENANTS of every process")
        return None, key
