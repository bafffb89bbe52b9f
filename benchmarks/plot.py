"""A plot of lines on two logarithmic axes, as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 30, 50, 60
_COLOURS = ("#cf222e", "#0969da", "#1a7f37", "#8250df")


@dataclass(frozen=True)
class Line:
    """Points (x, y), both above 0, and what they are."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(path: Path, title: str, axes: tuple[str, str], lines: Sequence[Line]) -> None:
    """Write the plot; `axes` name x and y."""
    shape = _Shape([point for line in lines for point in line.points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' aria-labelledby="title" font-family="system-ui, sans-serif" font-size="13">',
        f'  <title id="title">{escape(title)}</title>',
        f'  <rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'  <text x="{_LEFT}" y="24" font-size="15" fill="#24292f">{escape(title)}</text>',
        *shape.grid(),
        _text(_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2, _HEIGHT - 16, axes[0], "middle"),
        _text(_LEFT, _TOP - 8, axes[1], "start"),
    ]
    for number, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        parts += shape.line(line, colour)
        y = _TOP + 18 + 20 * number
        parts.append(f'  <rect x="{_LEFT + 14}" y="{y - 9}" width="18" height="4" fill="{colour}"/>')
        parts.append(_text(_LEFT + 40, y - 3, line.name, "start"))
    path.write_text("\n".join([*parts, "</svg>", ""]))


class _Shape:
    """From values to places, powers of ten around all of them."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._x, self._y = (_powers([point[axis] for point in points]) for axis in (0, 1))

    def grid(self) -> list[str]:
        """Lines and labels at the powers of ten."""
        found = []
        for power in range(self._x[0], self._x[1] + 1):
            x = self._place((10**power, 10 ** self._y[0]))[0]
            found.append(_rule(x, _TOP, x, _HEIGHT - _BOTTOM))
            found.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{10**power:,}", "middle"))
        for power in range(self._y[0], self._y[1] + 1):
            y = self._place((10 ** self._x[0], 10**power))[1]
            found.append(_rule(_LEFT, y, _WIDTH - _RIGHT, y))
            found.append(_text(_LEFT - 8, y + 4, f"{10.0**power:,g}", "end"))
        return found

    def line(self, line: Line, colour: str) -> list[str]:
        """A line with a dot at each point."""
        places = [self._place(point) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dots = [f'  <circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        return [f'  <polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        across, up = (
            (math.log10(value) - low) / (high - low)
            for value, (low, high) in zip(point, (self._x, self._y), strict=True)
        )
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )


def _powers(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'  <path d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}" stroke="#d0d7de"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'  <text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#57606a">{escape(text)}</text>'
