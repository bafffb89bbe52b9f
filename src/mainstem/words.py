"""Words of a text as every engine indexes them: cut up in one way, so that a search finds the same wherever it is.

A word is a run of letters and digits, in small letters and without accents. Engines leave out words that are short or
frequent (MySQL those of less than three letters, and `the`), so each is marked; a marked word is no such word.
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from mainstem.errors import InvalidQuery

_RUN = re.compile(r"([^\W_]+)(\*?)")
_WORD, _SCOPE = "zz", "ss"
_LONGEST = 40
"""Of a longer word so much counts; MySQL would leave out all of it."""
WORDS_MAX = 10
"""How many words a search may have."""


def _words(text: str) -> list[tuple[str, bool]]:
    """The words of a text in their order, and whether a star stands behind them."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    found = _RUN.findall(unicodedata.normalize("NFC", bare))
    return [(word[:_LONGEST], star == "*") for word, star in found]


def searchable(*texts: str | None, within: Iterable[str] = ()) -> str:
    """What a column of words holds of these texts. A search may be told to stay `within` any of those names."""
    words = {word for text in texts if text is not None for word, _ in _words(text)}
    return " ".join([*(_SCOPE + _digest(name) for name in within), *(_WORD + word for word in sorted(words))])


def asked_words(text: str, within: str | None = None) -> tuple[list[str], list[str]]:
    """What must be there: words, and, of those with a star behind them, beginnings of words.

    Raises InvalidQuery for no words or too many.
    """
    words = list(dict.fromkeys(_words(text)))
    if not 1 <= len(words) <= WORDS_MAX:
        raise InvalidQuery(f"a search has 1 to {WORDS_MAX} words of letters and digits; {text!r:.100} has {len(words)}")
    scope = [] if within is None else [_SCOPE + _digest(within)]
    begins = [_WORD + word for word, begins in words if begins]
    return [*scope, *(_WORD + word for word, begins in words if not begins)], begins


def telling_first(words: Iterable[str]) -> list[str]:
    """Those first that most likely stand in few texts: words with digits, then the longer ones."""
    return sorted(words, key=lambda word: (not any(map(str.isdigit, word)), -len(word)))


def _digest(name: str) -> str:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=10).hexdigest()
