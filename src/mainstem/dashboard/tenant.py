"""Which tenant the pages are about, where the installation serves several: chosen on the page, kept in its address."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from nicegui import events, ui

from mainstem.dashboard.api import ApiError

_NONE = ""
"""In the place of a tenant's name, where a page is about what is of none."""


class Choice:
    """The tenant that the address of a page names; none where it names none."""

    def __init__(self, tenants: Sequence[str], query: Mapping[str, str]) -> None:
        self._tenants = tenants
        self.tenant = query.get("tenant") or None

    def address(self, path: str) -> str:
        """Of another page, with the same tenant."""
        return path if self.tenant is None else f"{path}?{urlencode({'tenant': self.tenant})}"

    def show(self, path: str) -> None:
        """Let people choose another. Raises ApiError where the address names a tenant that is not served."""
        if self.tenant is not None and self.tenant not in self._tenants:
            raise ApiError(400, "unknown-tenant", f"There is no tenant {self.tenant[:40]!r} here")
        if not self._tenants:
            return

        def chosen(event: events.ValueChangeEventArguments[str]) -> None:
            self.tenant = event.value or None
            ui.navigate.to(self.address(path))

        names = {_NONE: "of no tenant", **{name: name for name in self._tenants}}
        choice = ui.select(names, value=self.tenant or _NONE, label="Tenant", on_change=chosen)
        choice.props("outlined dense").classes("ms-select")
