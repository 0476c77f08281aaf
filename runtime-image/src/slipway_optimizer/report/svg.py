"""Plots as SVG text. Pure: figures in, markup out.

Colours come from the page's CSS variables, so that one plot suits light and dark. Every plot has a
title and a description for those who do not see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 44
_BAR: Final = 22
_NAMES: Final = 190
_SHOWN: Final = 90  # beside a bar, for what it stands for
_EDGE: Final = 12
_SERIES: Final = ("var(--one)", "var(--two)")


@dataclass(frozen=True, slots=True)
class Words:
    """What a plot says of itself.

    Attributes:
        title: short; ``description`` tells what is to be seen in a sentence.
        x, y: names of the axes, with units.
    """

    title: str
    description: str
    x: str = ""
    y: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot; ``area`` is relative, ``marked`` the one that was picked."""

    name: str
    x: float
    y: float
    area: float
    marked: bool


def scatter(dots: Sequence[Dot], words: Words) -> str:
    """Dots with their names. At least one dot."""
    height = 340
    frame = _Frame(_span([d.x for d in dots], 0.08), _span([d.y for d in dots], 0.15), height)
    most = max(dot.area for dot in dots) or 1.0
    shapes: list[str] = []
    taken: list[tuple[str, tuple[float, float]]] = []
    for dot in sorted(dots, key=lambda d: -d.area):
        x, y = frame.x(dot.x), frame.y(dot.y)
        radius = 5 + 15 * math.sqrt(dot.area / most)
        kind = "picked" if dot.marked else "dot"
        shapes.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
        taken.append(_label(dot, (x, y, radius), taken))
    shapes += [text for text, _ in taken]
    return _svg(height, words, frame.axes(words) + "".join(shapes))


def _label(
    dot: Dot, circle: tuple[float, float, float], taken: Sequence[tuple[str, tuple[float, float]]]
) -> tuple[str, tuple[float, float]]:
    """The name beside its dot, moved down past names that are in the way."""
    x, y, radius = circle
    right = x + radius + 8 * len(dot.name) < WIDTH - _RIGHT
    place = x + (radius + 4 if right else -radius - 4)
    line = y + 4
    while any(abs(line - other) < 14 and abs(place - left) < 130 for _, (left, other) in taken):
        line += 14
    anchor = "start" if right else "end"
    weight = ' class="strong"' if dot.marked else ""
    text = (
        f'<text{weight} x="{place:.1f}" y="{line:.1f}" text-anchor="{anchor}">'
        f"{escape(dot.name)}</text>"
    )
    return text, (place, line)


def steps(
    series: Sequence[tuple[str, Sequence[float]]], limits: tuple[float, float], words: Words
) -> str:
    """Histograms over the same bins, the first filled, the second as a line over it."""
    height = 240
    tallest = max((max(counts, default=0) for _, counts in series), default=0) or 1
    frame = _Frame(limits, (0, tallest * 1.2), height)  # room for the legend
    shapes = []
    for number, (_, counts) in enumerate(series):
        width = (limits[1] - limits[0]) / max(1, len(counts))
        path = [f"M{frame.x(limits[0]):.1f} {frame.y(0):.1f}"]
        for place, count in enumerate(counts):
            start, end = (limits[0] + width * n for n in (place, place + 1))
            path.append(f"L{frame.x(start):.1f} {frame.y(count):.1f}")
            path.append(f"L{frame.x(end):.1f} {frame.y(count):.1f}")
        path.append(f"L{frame.x(limits[1]):.1f} {frame.y(0):.1f}Z")
        colour = _SERIES[number % 2]
        fill = "0.35" if number == 0 else "0.12"
        shapes.append(
            f'<path d="{" ".join(path)}" fill="{colour}" fill-opacity="{fill}" stroke="{colour}" '
            f'stroke-width="{1 + number}"/>'
        )
    legend = _legend([name for name, _ in series])
    return _svg(height, words, frame.axes(words) + "".join(shapes) + legend)


def lines(points: Sequence[tuple[float, float]], words: Words, *, mark: float | None = None) -> str:
    """One line with its points; ``mark`` is an x to point at."""
    height = 240
    xs, ys = [x for x, _ in points], [y for _, y in points]
    frame = _Frame((min(xs), max(xs) or 1), (0, max(ys) * 1.1 or 1), height)
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    shapes = f'<polyline points="{path}" fill="none" stroke="var(--one)" stroke-width="2"/>'
    for x, y in points:
        kind = "picked" if x == mark else "dot"
        shapes += f'<circle class="{kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="5"/>'
    return _svg(height, words, frame.axes(words) + shapes)


def bars(rows: Sequence[tuple[str, float, str]], words: Words) -> str:
    """Horizontal bars from zero, to both sides where values are negative: (name, value, shown)."""
    height = _TOP + _BAR * len(rows) + 30
    low, high = min(0.0, *(v for _, v, _ in rows)), max(0.0, *(v for _, v, _ in rows))
    span = (high - low) or 1.0
    start = _NAMES + _SHOWN * (low < 0)
    room = WIDTH - start - (_SHOWN if high > 0 else _EDGE)

    def place(value: float) -> float:
        return start + room * (value - low) / span

    zero = place(0)
    bottom = _TOP + _BAR * len(rows)
    shapes = [f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="{_TOP}" y2="{bottom}"/>']
    for number, (name, value, shown) in enumerate(rows):
        y, end = _TOP + _BAR * number, place(value)
        colour = "var(--bad)" if value < 0 else "var(--one)"
        left, width = min(zero, end), max(abs(end - zero), 1.5)
        beyond, anchor = (left - 4, "end") if value < 0 else (left + width + 4, "start")
        short = name if len(name) <= 26 else name[:12] + "…" + name[-13:]
        shapes.append(
            f'<text x="{_NAMES - 8}" y="{y + 15}" text-anchor="end">{escape(short)}'
            f"<title>{escape(name)}</title></text>"
            f'<rect x="{left:.1f}" y="{y + 4}" width="{width:.1f}" height="{_BAR - 8}" rx="2" '
            f'fill="{colour}"/>'
            f'<text class="small" x="{beyond:.1f}" y="{y + 15}" text-anchor="{anchor}">'
            f"{escape(shown)}</text>"
        )
    shapes.append(
        f'<text class="axisname" x="{WIDTH / 2:.0f}" y="{height - 8}" text-anchor="middle">'
        f"{escape(words.x)}</text>"
    )
    return _svg(height, words, "".join(shapes))


def bins(values: Sequence[float], limits: tuple[float, float], count: int) -> list[float]:
    """How many values lie in each of ``count`` equal bins; what is beyond goes to the last."""
    found = [0.0] * count
    low, high = limits
    for value in values:
        place = int((value - low) / ((high - low) or 1.0) * count)
        found[max(0, min(count - 1, place))] += 1
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    """From values to places."""

    xs: tuple[float, float]
    ys: tuple[float, float]
    height: int

    def x(self, value: float) -> float:
        share = (value - self.xs[0]) / ((self.xs[1] - self.xs[0]) or 1.0)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.ys[0]) / ((self.ys[1] - self.ys[0]) or 1.0)
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)

    def axes(self, words: Words) -> str:
        bottom = self.height - _BOTTOM
        parts = []
        for value in ticks(*self.xs):
            x = self.x(value)
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
                f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
                f"{number(value)}</text>"
            )
        for value in ticks(*self.ys):
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="small" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{number(value)}</text>"
            )
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<text class="axisname" x="{(WIDTH + _LEFT) / 2:.0f}" y="{self.height - 8}" '
            f'text-anchor="middle">{escape(words.x)}</text>'
            f'<text class="axisname" transform="translate(14 {middle:.0f}) rotate(-90)" '
            f'text-anchor="middle">{escape(words.y)}</text>'
        )
        return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers within the limits: 4 to 9 of them."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 8)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick's text."""
    if value and abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _span(values: Sequence[float], room: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    more = (high - low) * room or abs(high) * 0.02 or 1.0
    return low - more, high + more


def _legend(names: Sequence[str]) -> str:
    parts, x = [], _LEFT + 8
    for place, name in enumerate(names):
        colour = _SERIES[place % 2]
        parts.append(
            f'<rect x="{x}" y="{_TOP + 2}" width="12" height="12" rx="2" fill="{colour}"/>'
            f'<text class="small" x="{x + 17}" y="{_TOP + 12}">{escape(name)}</text>'
        )
        x += 34 + 7 * len(name)
    return "".join(parts)


def _svg(height: int, words: Words, body: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(words.title)}</title><desc>{escape(words.description)}</desc>{body}</svg>"
    )
