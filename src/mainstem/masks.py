"""Values of configurations as they may be shown."""

import re
from urllib.parse import urlsplit, urlunsplit

_SECRET = re.compile(r"password|secret|jaas|key\.pem", re.IGNORECASE)
MASK = "***"


def shown(name: str, value: object) -> str:
    """The value as text, or stars where its name, or a name in it, says that it is a secret."""
    text = value if isinstance(value, str) else repr(value)
    if value is None:
        return text
    inside = not isinstance(value, str) and _SECRET.search(text)
    return MASK if _SECRET.search(name) or inside else text


def shown_url(url: str) -> str:
    """The address without what may let somebody in: a name and password before the host, and all behind the path."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
