"""What operators ask of an application's layers: of the process that has the files open, or of the views themselves."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import quote, urlencode

import msgspec

from mainstem.application import Application
from mainstem.assembly.places import raw_folder
from mainstem.assembly.stores import open_log
from mainstem.assembly.views import open_views
from mainstem.errors import ConfigurationError
from mainstem.layers.archive import RawArchive
from mainstem.layers.desk import LayersDesk, LayerView
from mainstem.layers.lineage import Traced
from mainstem.operations import asked
from mainstem.settings import Settings


def layers_of(application: Application, settings: Settings) -> Sequence[LayerView]:
    """The layers in the order of the flow."""
    answer = asked(settings, "/layers")
    if answer is not None:
        return msgspec.json.decode(answer, type=list[LayerView])
    layers = application.configured(settings).layers
    if layers is None:
        return []
    with closing(open_views(settings)) as views:
        return LayersDesk(layers, views, raw_folder(settings)).list()


def lineage_of(
    application: Application,
    settings: Settings,
    layer: str,
    where: Sequence[str],
    *,
    limit: int,
    behind: str | None = None,
) -> Sequence[Traced]:
    """Rows of a layer with all that they were made of. Raises InvalidQuery where there is no such layer or column."""
    more = {"where": ",".join(where), "limit": str(limit), **({} if behind is None else {"behind": behind})}
    answer = asked(settings, f"/layers/{quote(layer, safe='')}/lineage?{urlencode(more)}")
    if answer is not None:
        return msgspec.json.decode(answer, type=list[Traced])
    with closing(open_views(settings)) as views:
        return LayersDesk(application.configured(settings).layers, views).lineage(
            layer, where, limit=limit, behind=behind
        )


@contextmanager
def raw_archive(application: Application, settings: Settings) -> Iterator[RawArchive]:
    """The archive of what the first layer takes. Raises ConfigurationError where the application keeps no layers."""
    layers = application.configured(settings).layers
    if layers is None:
        raise ConfigurationError("the application keeps no layers: see MAINSTEM_LAYERS")
    with closing(open_log(settings)) as log:
        yield RawArchive(log, raw_folder(settings), layers.sources)
