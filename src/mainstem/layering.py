"""What operators ask of an application's layers: of the process that has the files open, or of the views themselves."""

from collections.abc import Sequence
from contextlib import closing
from urllib.parse import quote, urlencode

import msgspec

from mainstem.application import Application
from mainstem.assembly.views import open_views
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
        return LayersDesk(layers, views).list()


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
