"""Charts of documents, as SVG, in the fonts of the document, in grey and one accent; shapes differ, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 480, 200
LEFT, BOTTOM, TOP, RIGHT = 44, 30, 10, 10
INK, SOFT, LINE, ACCENT = "#14202b", "#55616c", "#dcddd8", "#0b5c6b"
QUIET, RISK = "#9aa9b3", "#a3201a"
MOST_NAMES = 8
"""Names that are written below bars; of more, every second, third and so on."""
# A share of nought has no place on a logarithmic axis.
LEAST = 1e-5


def curve(points: Sequence[tuple[float, float]], axes: tuple[str, str]) -> str:
    """Return a line through points, both axes from 0 to 1."""
    path = " ".join(f"{x_of(x):.1f},{up(y):.1f}" for x, y in points)
    return _frame(
        f'<polyline points="{path}" fill="none" stroke="{ACCENT}" stroke-width="2"/>',
        axes,
        [(at / 4, f"{at / 4:g}") for at in range(5)],
    )


def reliability(bins: Sequence[tuple[float, float, float, float]]) -> str:
    """Return what was said against what was seen, both on logarithmic axes.

    Args:
        bins: what was said, what was seen, and the interval of that, as shares.
    """
    low = math.floor(math.log10(max(min(min(each) for each in bins), LEAST)))

    def place(share: float) -> float:
        return 1 - math.log10(max(share, 10.0**low)) / low if low else share

    marks = [
        f'<line x1="{x_of(0)}" y1="{up(0)}" x2="{x_of(1)}" y2="{up(1)}" stroke="{SOFT}" stroke-dasharray="4 3"/>'
    ]
    for said, seen, least, most in bins:
        x = x_of(place(said))
        marks += [
            f'<line x1="{x:.1f}" y1="{up(place(least)):.1f}" x2="{x:.1f}" y2="{up(place(most)):.1f}" stroke="{INK}"/>',
            f'<circle cx="{x:.1f}" cy="{up(place(seen)):.1f}" r="3.5" fill="{ACCENT}"/>',
        ]
    ticks = [(place(10.0**power), f"{10.0**power:g}") for power in range(low, 1)]
    return _frame("".join(marks), ("mean probability", "share of fraud"), ticks)


def pairs_of_bars(names: Sequence[str], then: Sequence[float], now: Sequence[float]) -> str:
    """Return two bars for each bin: the share then (outlined) and now (filled)."""
    most = max([*then, *now, LEAST])
    step = 1 / max(len(names), 1)
    marks = []
    for at, (name, before, after) in enumerate(zip(names, then, now, strict=True)):
        left, wide = x_of((at + 0.1) * step), (WIDTH - LEFT - RIGHT) * step * 0.4
        for place, share, paint in (
            (left, before, f'fill="none" stroke="{SOFT}"'),
            (left + wide, after, f'fill="{ACCENT}"'),
        ):
            top = up(share / most)
            marks.append(
                f'<rect x="{place:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{up(0) - top:.1f}" {paint}/>'
            )
        marks.append(text_at(left + wide, HEIGHT - BOTTOM + 12, name, "middle"))
    return _frame("".join(marks), ("score", "share of rows"), [], [(0, "0"), (1, f"{100 * most:.3g} %")])


def bars(values: Sequence[tuple[str, float, float]], axes: tuple[str, str], *, scale: bool = True) -> str:
    """Return columns of counts, the part that is flagged in red and half as wide.

    Args:
        values: for each column its name, all, and how many of these are flagged.
        axes: what they count, across and upwards.
        scale: whether the largest value is written.
    """
    most = max((every for _, every, _ in values), default=0) or 1
    step = 1 / max(len(values), 1)
    shown = max(1, -(-len(values) // MOST_NAMES))
    marks = []
    for at, (name, every, flagged) in enumerate(values):
        for share, inset, paint in ((every, 0.1, QUIET), (flagged, 0.3, RISK)):
            left, top = x_of((at + inset) * step), up(share / most)
            wide = (WIDTH - LEFT - RIGHT) * step * (1 - 2 * inset)
            marks.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{up(0) - top:.1f}" fill="{paint}"/>'
            )
        if at % shown == 0:
            marks.append(text_at(x_of((at + 0.5) * step), HEIGHT - BOTTOM + 12, name, "middle"))
    return _frame("".join(marks), axes, [], [(1, f"{most:,.0f}")] if scale else [])


def _frame(
    marks: str,
    axes: tuple[str, str],
    across: Sequence[tuple[float, str]],
    upwards: Sequence[tuple[float, str]] | None = None,
) -> str:
    lines = [
        f'<line x1="{LEFT}" y1="{up(at):.1f}" x2="{WIDTH - RIGHT}" y2="{up(at):.1f}" stroke="{LINE}"/>'
        + text_at(LEFT - 5, up(at) + 3, words, "end")
        for at, words in (across if upwards is None else upwards)
    ]
    lines += [text_at(x_of(at), HEIGHT - BOTTOM + 12, words, "middle") for at, words in across]
    lines += [
        f'<line x1="{LEFT}" y1="{up(0)}" x2="{WIDTH - RIGHT}" y2="{up(0)}" stroke="{SOFT}"/>',
        text_at(WIDTH / 2, HEIGHT - 4, axes[0], "middle"),
        f'<g transform="translate(11 {HEIGHT / 2}) rotate(-90)">{text_at(0, 0, axes[1], "middle")}</g>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="IBM Plex Sans">'
        f"{''.join(lines)}{marks}</svg>"
    )


def text_at(x: float, y: float, words: str, anchor: str) -> str:
    """Return a text of a chart as an SVG element, at a place in pixels."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" fill="{SOFT}" text-anchor="{anchor}">{escape(words)}</text>'


def x_of(share: float) -> float:
    """Return where a share of the width is, in pixels."""
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def up(share: float) -> float:
    """Return where a share of the height is, in pixels from the top."""
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
