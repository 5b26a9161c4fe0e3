"""The evaluation report as one HTML page that needs nothing else: tables, and two drawings in SVG."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;margin:.5rem 0}
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #d8dee4}
th:first-child,td:first-child{text-align:left}
.bad{color:#b42318;font-weight:600}.note{color:#57606a}svg{background:#f6f8fa;border-radius:4px}
"""
SIDE = 260


def page(title: str, report: dict[str, Any]) -> str:
    """Return the page of a version's report (see `inference.offline.training.evaluation.evaluate`)."""
    quality = report["quality"]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">Judged on {quality["rows"]:,} later events with {quality["positives"]:,} positives'
        f" ({escape(report['judged_on'])}). Simulated data flatter; real data give a fraction of this.</p>",
        "<h2>Ranking</h2>", _table(("model", "average precision", "AUC"), _ranking(quality)),
        "<h2>Against others, same rows</h2>",
        _table(
            ("other", "gain in average precision", "95 % from", "to", "days", "rows it had learnt, left out"),
            _gains(report),
        ),
        "<h2>Keys called a day</h2>", _records(report["capacity"]),
        "<h2>Calibration</h2>", _curve(quality["reliability"]),
        f'<p class="note">Mean distance {quality["calibration_error"]:.4g},'
        f' Brier score {quality["brier"]:.4g}.</p>',
        "<h2>Money at thresholds</h2>", _records(report["money"]),
        "<h2>Segments</h2>", _records(report["segments"], bad="adverse"),
        "<h2>Missing and shifted inputs</h2>", _records(report["robustness"]),
        "<h2>Latency</h2>", _table(("batch", "p50 ms", "p95 ms", "p99 ms"), _latency(report["latency"])),
        "<h2>What the trees used</h2>", _bars(report["importance"]),
    ]  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _ranking(quality: dict[str, Any]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [("this version", quality["average_precision"], quality["auc"])]
    return rows + [(name, q["average_precision"], q["auc"]) for name, q in quality["baselines"].items()]


def _gains(report: dict[str, Any]) -> list[Sequence[object]]:
    return [
        (
            name, "cannot be compared" if c["gain"] is None else c["gain"],
            *c.get("gain_95_percent", ("", "")), c.get("days", ""), c.get("rows_it_has_learnt", 0),
        )
        for name, c in report["comparison"].items()
    ]  # fmt: skip


def _latency(latency: dict[str, dict[str, float]]) -> list[Sequence[object]]:
    return [(name, *figures.values()) for name, figures in latency.items()]


def _records(rows: list[dict[str, Any]], bad: str = "") -> str:
    if not rows:
        return "<p>none</p>"
    names = [name for name in rows[0] if name != bad]
    names.sort(key=lambda name: name not in ("kind", "name", "change", "threshold", "keys_a_day"))
    return _table(
        names, [[row[name] for name in names] for row in rows], [bool(row.get(bad)) for row in rows]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], bad: Sequence[bool] = ()) -> str:
    marks = bad or [False] * len(rows)
    body = "".join(
        f"<tr{' class=bad' if mark else ''}>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
        for row, mark in zip(rows, marks, strict=True)
    )
    top = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in head)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def _curve(bins: list[dict[str, float]]) -> str:
    """Draw the share of positives against the mean score of each bin, both on a square-root scale."""

    def at(value: float) -> float:
        return float(np.sqrt(value)) * SIDE

    points = " ".join(f"{at(b['score_mean']):.1f},{SIDE - at(b['positive_share']):.1f}" for b in bins)
    return (
        f'<svg width="{SIDE}" height="{SIDE}" role="img" aria-label="calibration curve">'
        f'<line x1="0" y1="{SIDE}" x2="{SIDE}" y2="0" stroke="#8c959f" stroke-dasharray="4"/>'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/></svg>'
        '<p class="note">Share of positives over mean score, ten bins of equal size, square-root scale.</p>'
    )


def _bars(importance: dict[str, float], most: int = 20) -> str:
    top = list(importance.items())[:most]
    greatest = max([value for _, value in top], default=1.0) or 1.0
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td style="text-align:left">'
        f'<div style="background:#0969da;height:.7rem;width:{value / greatest * 240:.0f}px"></div></td></tr>'
        for name, value in top
    )
    return f"<table>{rows}</table>"
