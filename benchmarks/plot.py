"""Small SVG plots that read well on light and dark pages. Pure."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.figures import short

COLOURS = ["#2563a8", "#c2571a", "#2f855a", "#8a3ea8", "#9a7d0a", "#a83248"]
WIDTH, LEFT, RIGHT, TOP = 720, 250, 60, 44
STYLE = (
    "<style>text{font:12px sans-serif;fill:#444}.title{font-size:14px;font-weight:bold}.axis{stroke:#999}.grid{stroke:#9993}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>"
)
PLOT_LEFT, PLOT_HEIGHT = 70, 240


def bars(title: str, rows: Sequence[tuple[str, Mapping[str, float]]], mark: Mapping[str, float] | None = None) -> str:
    """Groups of horizontal bars, one bar for each series; `mark` draws named upright lines."""
    names = list(dict.fromkeys(name for _, series in rows for name in series))
    most = max([value for _, series in rows for value in series.values()] + list((mark or {}).values()) + [1e-9])
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = legend(names, 20), TOP + 14
    for label, series in rows:
        parts.append(_text(LEFT - 8, y + 12, label, "end"))
        for name, value in series.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(1, value * scale):.1f}" height="14" fill="{colour}"/>')
            parts.append(_text(LEFT + max(1, value * scale) + 5, y + 11, short(value)))
            y += 17
        y += 8
    for name, value in (mark or {}).items():
        x = LEFT + value * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y}" stroke="#a83248" stroke-dasharray="4 3"/>')
        parts.append(_text(x, TOP - 2, f"{name} {short(value)}", "middle"))
    return _svg(title, parts, y + 10)


def lines(title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Points joined by lines; both axes are logarithmic, so what is linear has one slope and what is flat has none."""
    points = [point for line in series.values() for point in line]
    left, right = _decades([x for x, _ in points])
    low, high = _decades([y for _, y in points])
    bottom = TOP + 20 + PLOT_HEIGHT

    def at(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - left) / (right - left)
        above = (math.log10(y) - low) / (high - low)
        return PLOT_LEFT + along * (WIDTH - PLOT_LEFT - RIGHT), bottom - above * PLOT_HEIGHT

    parts = legend(list(series), 20)
    for power in range(left, right + 1):
        x, _ = at(10**power, 10**low)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom - PLOT_HEIGHT}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 16, _power(power), "middle"))
    for power in range(low, high + 1):
        _, y = at(10**left, 10**power)
        parts.append(f'<line class="grid" x1="{PLOT_LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(PLOT_LEFT - 6, y + 4, _power(power), "end"))
    for number, line in enumerate(series.values()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(x, y) for x, y in line]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    parts.append(_text((PLOT_LEFT + WIDTH - RIGHT) / 2, bottom + 36, across, "middle"))
    parts.append(_text(PLOT_LEFT, TOP + 12, up))
    return _svg(title, parts, bottom + 46)


def legend(names: Sequence[str], x: float) -> list[str]:
    """What each colour stands for."""
    parts = []
    for number, name in enumerate(names):
        parts.append(f'<rect x="{x:.0f}" y="{TOP - 16}" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(_text(x + 14, TOP - 7, name))
        x += 28 + 7 * len(name)
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that enclose them, never the same."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _power(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str], height: float) -> str:
    inner = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f'{STYLE}\n<text class="title" x="20" y="18">{escape(title)}</text>\n{inner}\n</svg>\n'
    )
