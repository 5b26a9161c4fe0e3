"""A curve as SVG: a few measured points on a logarithmic x axis, each with its value beside it."""

import math
from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 560, 240, 48
_STYLE = 'font-family="sans-serif" font-size="12" fill="#444"'


def draw(points: Sequence[dict[str, float]], about: str) -> str:
    """Return the picture of points {x, us}: CPU microseconds an event, from zero up.

    >>> draw([{"x": 1, "us": 2.0}, {"x": 10, "us": 3.0}], "keys").count("<circle")
    2
    """
    places = [_place(point, points) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#1f6feb"/>'
        f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle" {_STYLE}>{point["us"]:.2f}</text>'
        f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle" {_STYLE}>{point["x"]:,}</text>'
        for (x, y), point in zip(places, points, strict=True)
    ]
    floor = HEIGHT - MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>CPU microseconds an event by {about}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<path d="M{MARGIN},{floor} H{WIDTH - MARGIN / 2}" stroke="#999"/>',
            f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
            *marks,
            f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle" {_STYLE}>{about}</text>',
            f'<text x="{MARGIN / 2}" y="16" {_STYLE}>CPU µs an event</text>',
            "</svg>\n",
        ]
    )


def _place(point: dict[str, float], points: Sequence[dict[str, float]]) -> tuple[float, float]:
    """Return where a point is drawn."""
    low, high = (math.log(f(p["x"] for p in points)) for f in (min, max))
    top = max(p["us"] for p in points) * 1.15
    across = (math.log(point["x"]) - low) / (high - low or 1.0)
    x = MARGIN + across * (WIDTH - 2 * MARGIN)
    return x, HEIGHT - MARGIN - point["us"] / top * (HEIGHT - 2 * MARGIN)
