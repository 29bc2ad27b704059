"""Bar charts as inline SVG: no script, nothing from outside, readable on a phone and on paper. Pure.

Colours come from the page's classes; every chart has a title and a
description for those who do not see it, and the page has its table beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 400
"""In units of the picture; a phone shows about as many points."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 4, 8, 18
_HEIGHT = 190
_ROW = 34
_LONGEST = 56
_LEAST = 1.5
"""What is not nothing is seen."""


@dataclass(frozen=True, slots=True)
class Column:
    """One bar: its label and a number for each series, from the bottom up."""

    label: str
    values: tuple[int, ...]


def column_chart(name: str, title: str, description: str, columns: Sequence[Column], classes: Sequence[str]) -> str:
    """Upright bars over time, stacked; `name` is unique on the page, `classes` one per series."""
    top = nice_ceiling(max((sum(column.values) for column in columns), default=0))
    plot_height, plot_width = _HEIGHT - _TOP - _BOTTOM, WIDTH - _LEFT - _RIGHT
    pieces = [_grid(top, plot_height)]
    step = plot_width / max(len(columns), 1)
    gap = min(step * 0.2, 4)
    for number, column in enumerate(columns):
        left = _LEFT + number * step
        pieces.append(_stack(column, classes, left + gap / 2, step - gap, plot_height / top))
        if len(columns) <= 10 or number == 0 or (number + 1) % 5 == 0:
            pieces.append(f'<text x="{left + step / 2:.1f}" y="{_HEIGHT - 5}" class="middle">{escape(column.label)}</text>')
    return _picture(name, title, description, _HEIGHT, pieces)


def bar_chart(name: str, title: str, description: str, rows: Sequence[Column], classes: Sequence[str]) -> str:
    """Lying bars, each under its label with its sum behind it."""
    longest = max((sum(row.values) for row in rows), default=0) or 1
    room = WIDTH - 52
    pieces = []
    for number, row in enumerate(rows):
        y, x = number * _ROW, 0.0
        pieces.append(f'<text x="0" y="{y + 12}">{escape(_cut(row.label))}</text>')
        pieces.append(f'<rect x="0" y="{y + 17}" width="{room}" height="10" class="ground"/>')
        for value, its_class in zip(row.values, classes, strict=True):
            if value:
                width = max(value / longest * room, _LEAST)
                pieces.append(f'<rect x="{x:.1f}" y="{y + 17}" width="{width:.1f}" height="10" class="{its_class}"/>')
                x += width
        pieces.append(f'<text x="{WIDTH}" y="{y + 26}" class="end strong">{sum(row.values):,}</text>')
    return _picture(name, title, description, max(len(rows), 1) * _ROW, pieces)


def nice_ceiling(highest: int) -> int:
    """The least round number that is not below `highest`: 1, 2, 4, 5 or 10 times a power of ten."""
    power = 1
    while power * 10 < highest:
        power *= 10
    return next(power * factor for factor in (1, 2, 4, 5, 10) if power * factor >= highest)


def _grid(top: int, height: int) -> str:
    """Lines at nothing, half and all; half only where it is a whole number."""
    marks = [0, top] if top % 2 else [0, top // 2, top]
    lines = []
    for mark in marks:
        y = _TOP + height - height * mark / top
        lines.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" class="end">{_short(mark)}</text>')
    return "".join(lines)


def _stack(column: Column, classes: Sequence[str], left: float, width: float, scale: float) -> str:
    y, bars = float(_HEIGHT - _BOTTOM), []
    for value, its_class in zip(column.values, classes, strict=True):
        if value:
            height = max(value * scale, _LEAST)
            y -= height
            bars.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{its_class}"/>')
    return "".join(bars)


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _short(number: int) -> str:
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:g}{sign}"
    return str(number)


def _picture(name: str, title: str, description: str, height: float, pieces: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-title {name}-desc"'
        f' xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{''.join(pieces)}</svg>"
    )
