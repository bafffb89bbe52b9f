"""The documentation builds without a warning, and its drawn figures are those that are declared."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.drawing import DRAWN, FIGURES, Figure
from tests.docs.pages import DOCS, name_of, pages, prose

_SVG = "{http://www.w3.org/2000/svg}"


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    """As `make docs` does."""
    words = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "built")]
    built = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    made = {path.relative_to(tmp_path / "built").with_suffix(".md") for path in (tmp_path / "built").rglob("*.html")}
    assert {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} <= made


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_figure_is_what_is_drawn(name: str) -> None:
    assert (FIGURES / name).read_text() == DRAWN[name].svg(), "run: python docs/drawing.py"


@pytest.mark.parametrize("figure", DRAWN.values(), ids=list(DRAWN))
def test_a_figure_says_what_it_shows_and_holds_its_parts(figure: Figure) -> None:
    """Its boxes and words begin and end within it, as far as a fixed width of letters tells."""
    drawn = ElementTree.fromstring(figure.svg())  # noqa: S314 - our own
    assert drawn.findtext(f"{_SVG}title") == figure.title
    for box in drawn.iter(f"{_SVG}rect"):
        x, y, width, height = (float(box.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= figure.width
        assert 0 <= y <= y + height <= figure.height
    for text in drawn.iter(f"{_SVG}text"):
        length = len(text.text or "") * 7.0
        begin = float(text.get("x", 0)) - length * {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor", ""), 0.0)
        assert 0 <= begin + 20 <= begin + length <= figure.width + 20, text.text


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_figure_is_told_to_who_does_not_see_it(page: Path) -> None:
    for words in re.findall(r"!\[([^\]]*)\]\(", prose(page)):
        assert len(words) >= 15
