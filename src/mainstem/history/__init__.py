"""The past: aggregates as they stood at any moment, and views as they were at any position of the log."""

from mainstem.history.aggregates import Between, Change, Happened, HappenedTagged, History, Past, TagHistory
from mainstem.history.views import Until, ViewThen, view_then

__all__ = [
    "Between",
    "Change",
    "Happened",
    "HappenedTagged",
    "History",
    "Past",
    "TagHistory",
    "Until",
    "ViewThen",
    "view_then",
]
