"""One plot as SVG text: lines over days, moments as upright marks. Needs no library and no font but sans."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 900, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 50, 90
COLOURS = ("#1f5fa8", "#c2571a", "#3c8d40", "#7b4aa0", "#8a6d1c", "#5b6770")


class Line(NamedTuple):
    """A line: (day, value) points; dashed for scores that decided nothing."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


class Mark(NamedTuple):
    """A moment."""

    day: float
    name: str


X_NAME = "day of event time (a window's youngest payment)"


def draw(
    title: str, y_name: str, lines: Sequence[Line], marks: Sequence[Mark], days: float, x_name: str = X_NAME
) -> str:
    """Return the plot: x from 0 to `days`, y from 0 to 1.

    >>> text = draw("t", "average precision", [Line("m", [(0, 0.5), (10, 0.25)])], [Mark(5, "change")], 10)
    >>> text.startswith("<svg") and text.count("<polyline") == 1
    True
    """
    body = [_axes(title, y_name, days, x_name)]
    colours = _colours([line.name.rpartition(" ")[0] or line.name for line in lines])
    for line in lines:
        colour = colours[line.name.rpartition(" ")[0] or line.name]
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        points = " ".join(f"{_x(day, days):.1f},{_y(value):.1f}" for day, value in line.points)
        body.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}>'
            f"<title>{escape(line.name)}</title></polyline>"
        )
    body += [_mark(mark, number, days) for number, mark in enumerate(sorted(marks))]
    body += [_legend(line, number, colours) for number, line in enumerate(lines)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>' + "\n".join(body) + "</svg>\n"
    )


def _axes(title: str, y_name: str, days: float, x_name: str) -> str:
    parts = [f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>']
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10:.1f}</text>')
    for day in range(0, int(days) + 1, 7):
        x = _x(day, days)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{day}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">{y_name}</text>'
    )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - BOTTOM + 36}" text-anchor="middle">'
        f"{escape(x_name)}</text>"
    )
    return "\n".join(parts)


def _mark(mark: Mark, number: int, days: float) -> str:
    x, y = _x(mark.day, days), TOP - 6 + 14 * (number % 4)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}" stroke="#555"'
        f' stroke-dasharray="2 3"/><text x="{x + 4:.1f}" y="{y}" fill="#333">{escape(mark.name)}</text>'
    )


def _legend(line: Line, number: int, colours: Mapping[str, str]) -> str:
    x, y = LEFT + 270 * (number % 3), HEIGHT - 32 + 16 * (number // 3)
    colour = colours[line.name.rpartition(" ")[0] or line.name]
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    return (
        f'<line x1="{x}" x2="{x + 26}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dash}/>'
        f'<text x="{x + 32}" y="{y}">{escape(line.name)}</text>'
    )


def _colours(names: Sequence[str]) -> dict[str, str]:
    distinct = list(dict.fromkeys(names))
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(distinct)}


def _x(day: float, days: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * day / days


def _y(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value)
