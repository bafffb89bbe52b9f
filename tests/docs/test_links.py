"""Links between pages resolve, and every page can be found."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, blocks, name_of, pages, prose
from tests.screenshots import BYTES_MAX

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as MyST and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in _anchors(target), f"{link}: no such heading"


def test_every_page_is_in_the_contents() -> None:
    """The index names each page once, and no other."""
    listed = [
        line
        for block in re.findall(r"^:::\{toctree\}\n(.*?)^:::$", (DOCS / "index.md").read_text(), re.M | re.S)
        for line in block.split("\n")
        if line and not line.startswith(":")
    ]
    there = [
        page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md") if page.name != "index.md"
    ]
    assert sorted(listed) == sorted(there)


def test_every_figure_is_shown() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in pages()
        for link in _LINK.findall(prose(page))
        if link.endswith(".svg")
    }
    assert shown == {figure.resolve() for figure in (DOCS / "figures").iterdir()}


def test_every_screenshot_is_shown_and_small() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in pages()
        for link in _LINK.findall(prose(page))
        if link.endswith(".png")
    }
    assert shown == {picture.resolve() for picture in (DOCS / "screenshots").iterdir()}
    assert [picture for picture in shown if picture.stat().st_size > BYTES_MAX] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_has_one_title_and_no_long_lines(page: Path) -> None:
    text = prose(page)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    long = [line for line in text.splitlines() if len(line) > 130 and not line.startswith("|")]
    assert not long
    for block in blocks(page):
        assert block.text.strip(), f"line {block.line}: an empty block"
