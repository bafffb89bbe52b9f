"""The drawn figures of the explanations: `python docs/drawing.py` writes them to docs/figures.

Each is declared below as boxes, arrows and words. What is written follows the reader's light or dark preference and
brings its own ground, so that it can be read on any page. A test holds that what stands is what is drawn here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

FIGURES = Path(__file__).parent / "figures"

_STYLE = """
    .ground { fill: #ffffff } .box { fill: #f6f8fa; stroke: #57606a } .kept { fill: #ddf4ff; stroke: #0969da }
    .bad { fill: #ffebe9; stroke: #cf222e } .line { stroke: #57606a; stroke-width: 1.5; fill: none }
    .thin { stroke: #8c959f; stroke-dasharray: 5 4; fill: none } .head { fill: #57606a }
    text { fill: #1f2328 } .note { fill: #57606a; font-size: 12px }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117 } .box { fill: #161b22; stroke: #8b949e } .kept { fill: #0c2d6b; stroke: #58a6ff }
      .bad { fill: #490202; stroke: #f85149 } .line { stroke: #8b949e } .thin { stroke: #6e7681 }
      .head { fill: #8b949e } text { fill: #e6edf3 } .note { fill: #9da7b3 }
    }"""


@dataclass(frozen=True)
class Box:
    """A rectangle around lines of text in its middle; `kind` is box, kept (a store) or bad."""

    x: int
    y: int
    width: int
    text: str
    kind: str = "box"
    height: int = 44

    def svg(self) -> Iterator[str]:
        """The rectangle, then its lines."""
        size = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        yield f'<rect class="{self.kind}" {size} rx="6"/>'
        lines = self.text.split("\n")
        first = self.y + self.height / 2 + 5 - 9 * (len(lines) - 1)
        for number, line in enumerate(lines):
            place = f'x="{self.x + self.width / 2:g}" y="{first + 18 * number:g}"'
            yield f'<text {place} text-anchor="middle">{escape(line)}</text>'


@dataclass(frozen=True)
class Note:
    """Small words; `anchor` is start, middle or end."""

    x: int
    y: int
    text: str
    anchor: str = "start"

    def svg(self) -> Iterator[str]:
        """One line."""
        yield f'<text class="note" x="{self.x}" y="{self.y}" text-anchor="{self.anchor}">{escape(self.text)}</text>'


@dataclass(frozen=True)
class Arrow:
    """Along points; `kind` is line, which has a head, or thin, which is broken and has none."""

    points: Sequence[tuple[int, int]]
    kind: str = "line"

    def svg(self) -> Iterator[str]:
        """One path."""
        path = "M" + " L".join(f"{x} {y}" for x, y in self.points)
        head = ' marker-end="url(#arrow)"' if self.kind == "line" else ""
        yield f'<path class="{self.kind}" d="{path}"{head}/>'


@dataclass(frozen=True)
class Figure:
    """What is drawn, in its order, under a title that a screen reader says."""

    title: str
    width: int
    height: int
    parts: Sequence[Box | Note | Arrow]

    def svg(self) -> str:
        """The whole file."""
        size = f'viewBox="0 0 {self.width} {self.height}"'
        font = 'font-family="system-ui, sans-serif" font-size="14"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title" {font}>',
            f'<title id="title">{escape(self.title)}</title>',
            f"<style>{_STYLE}\n  </style>",
            '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"',
            ' orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>',
            f'<rect class="ground" width="{self.width}" height="{self.height}"/>',
            *(line for part in self.parts for line in part.svg()),
        ]
        return "\n  ".join(lines) + "\n</svg>\n"


COMMAND_EVENT = Figure(
    "A command is decided on the state of its aggregate: it becomes events, or it is refused and kept",
    820,
    240,
    (
        Box(20, 40, 130, "command\nWithdraw 10"),
        Box(230, 40, 110, "decide"),
        Box(430, 40, 160, "event\nMoneyWithdrawn 10", "kept"),
        Box(680, 40, 110, "evolve"),
        Box(430, 160, 160, "state\nused: 10", "kept"),
        Box(210, 160, 150, "refused command\nand its reason", "bad"),
        Arrow(((150, 62), (230, 62))),
        Arrow(((340, 62), (430, 62))),
        Arrow(((590, 62), (680, 62))),
        Arrow(((735, 84), (735, 182), (590, 182))),
        Arrow(((430, 172), (400, 172), (400, 120), (310, 120), (310, 84))),
        Arrow(((260, 84), (260, 160))),
        Note(85, 30, "a wish: may be refused", "middle"),
        Note(510, 30, "a fact: is never untrue", "middle"),
        Note(402, 138, "the state that the next command meets"),
        Note(285, 222, "kept too: a refusal is a fact", "middle"),
    ),
)

SNAPSHOT = Figure(
    "The state is the fold of all events; from a snapshot at version 5 only versions 6 to 8 are folded",
    820,
    230,
    (
        *(Box(20 + 80 * n, 40, 64, f"event {n + 1}", "kept", 40) for n in range(8)),
        Box(700, 40, 100, "state\nversion 8"),
        Arrow(((644, 60), (700, 60))),
        Box(300, 140, 144, "snapshot\nof version 5", "kept"),
        Arrow(((372, 80), (372, 140))),
        Arrow(((444, 162), (470, 162))),
        *(Box(470 + 64 * n, 145, 56, f"+ {n + 6}", "box", 34) for n in range(3)),
        Arrow(((654, 162), (750, 162), (750, 84))),
        Note(20, 30, "without a snapshot: every event is read and folded"),
        Note(470, 200, "with one: these three are"),
        Note(20, 160, "kept off the command's path, under the"),
        Note(20, 176, "fingerprint of the code that folded it;"),
        Note(20, 192, "never believed against the events"),
    ),
)

VIEWS = Figure(
    "Of one log several listeners keep several views, each in the shape of a query; a faulty one is filled again",
    820,
    290,
    (
        Box(20, 110, 100, "log", "kept", 60),
        Note(70, 102, "source of truth", "middle"),
        *(Box(200, 20 + 64 * n, 130, "listener" if n < 3 else "rebuild") for n in range(4)),
        Box(410, 20, 160, "statement\nby card, by time", "kept"),
        Box(410, 84, 160, "balance\none row a card", "kept"),
        Box(410, 148, 160, "datasource\nin columns", "kept"),
        Box(410, 212, 160, "balance, again\nwith today's code", "kept"),
        *(Arrow(((120, 140), (160, 140), (160, 42 + 64 * n), (200, 42 + 64 * n))) for n in range(4)),
        *(Arrow(((330, 42 + 64 * n), (410, 42 + 64 * n))) for n in range(4)),
        *(Box(650, 20 + 64 * n, 140, text) for n, text in enumerate(("mini statement", "one balance", "sums by day"))),
        *(Arrow(((570, 42 + 64 * n), (650, 42 + 64 * n))) for n in range(3)),
        Arrow(((570, 234), (610, 234), (610, 118), (650, 118))),
        Note(205, 280, "filled beside the live view, compared with it, and put in its place"),
    ),
)

DELAYED_READS = Figure(
    "A read that comes before the view has the change is stale, unless it carries the position of the change",
    820,
    300,
    (
        *(Arrow(((130, y), (800, y)), "thin") for y in (60, 140, 220)),
        Note(120, 64, "client", "end"),
        Note(120, 144, "write side", "end"),
        Note(120, 224, "view", "end"),
        Arrow(((170, 60), (210, 140))),
        Box(210, 122, 90, "commit", "kept", 36),
        Arrow(((300, 140), (340, 60))),
        Note(345, 50, "answer, with a position", "middle"),
        Arrow(((300, 140), (600, 204))),
        Note(500, 165, "capture, log, listener"),
        Box(560, 204, 110, "row is there", "kept", 36),
        Arrow(((390, 60), (420, 220))),
        Note(395, 250, "a read without it: the row of before", "middle"),
        Arrow(((450, 60), (500, 212))),
        Arrow(((500, 222), (560, 222))),
        Note(520, 268, "a read with it waits, within a limit", "middle"),
        Arrow(((670, 222), (720, 60))),
        Note(720, 50, "reads its own write", "middle"),
    ),
)

LAYERS = Figure(
    "Five layers from raw changes to aggregates, each a topic or view kept by a listener; beside it a nightly batch",
    900,
    230,
    (
        *(
            Box(20 + 176 * n, 50, 150, f"{name}\n{what}", "kept", 56)
            for n, (name, what) in enumerate(
                (
                    ("RAW", "as captured"),
                    ("CLEANSED", "decoded, checked"),
                    ("CURATED", "in the words asked"),
                    ("INTEGRATED", "joined"),
                    ("AGGREGATED", "counted, summed"),
                )
            )
        ),
        *(Arrow(((170 + 176 * n, 78), (196 + 176 * n, 78))) for n in range(4)),
        Note(20, 36, "each step is a listener: it follows within moments, and can be made again of the step before"),
        Arrow(((799, 106), (799, 160))),
        Box(724, 160, 150, "OLAP, over HTTP"),
        Box(20, 160, 150, "databases", "kept"),
        Box(250, 160, 200, "extract, at night"),
        Box(530, 160, 150, "warehouse", "kept"),
        Arrow(((170, 182), (250, 182))),
        Arrow(((450, 182), (530, 182))),
        Note(20, 150, "classical: copied once a day"),
    ),
)

DRAWN: Mapping[str, Figure] = {
    "command-event.svg": COMMAND_EVENT,
    "snapshot.svg": SNAPSHOT,
    "views.svg": VIEWS,
    "delayed-reads.svg": DELAYED_READS,
    "layers.svg": LAYERS,
}


def main() -> None:
    """Write all of them."""
    for name, figure in DRAWN.items():
        (FIGURES / name).write_text(figure.svg())


if __name__ == "__main__":
    main()
