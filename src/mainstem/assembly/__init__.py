"""The one place where adapters are put together: applications brought to life, in the form that the settings name."""

from mainstem.application import Application
from mainstem.assembly.distributed import Distributed, distributed
from mainstem.assembly.embedded import Embedded, embedded
from mainstem.assembly.running import Running, Status
from mainstem.settings import Settings

__all__ = ["Distributed", "Embedded", "Running", "Status", "bring_up", "distributed", "embedded"]


def bring_up(application: Application, settings: Settings) -> Running:
    """The application in the settings' form, open and not yet started. Raises what `embedded` and `distributed` do."""
    if settings.form == "embedded":
        return embedded(application, settings)
    return distributed(application, settings)
