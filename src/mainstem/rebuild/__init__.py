"""Rebuilding views and datasources: a new version is filled beside the live one, compared, and put in its place."""

from mainstem.rebuild.comparing import Comparison, Difference
from mainstem.rebuild.desk import Rebuilds, Standing
from mainstem.rebuild.progress import Progress
from mainstem.rebuild.rebuild import Rebuild
from mainstem.rebuild.versioned import Versioned
from mainstem.rebuild.versions import code_of

__all__ = ["Comparison", "Difference", "Progress", "Rebuild", "Rebuilds", "Standing", "Versioned", "code_of"]
