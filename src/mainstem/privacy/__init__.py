"""Personal data in marked fields: encrypted for each subject, opened at the edge, forgotten with the subject's key."""

from mainstem.privacy.marks import AGGREGATE, Personal

__all__ = ["AGGREGATE", "Personal"]
