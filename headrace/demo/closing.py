"""The last page of a demo: counts, quality, latency, one explained decision, and what to try next."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table


def closing_words(summary: dict[str, Any], console: Console) -> None:
    """Print the summary for people; the JSON file holds the whole."""
    console.print()
    console.print(_counts(summary))
    console.print(_quality(summary))
    if "event_alone" in summary["model"]:
        console.print(_windows(summary["model"]["event_alone"]), highlight=False)
    console.print(_latency(summary))
    for name, fault in summary["faults"].items():
        facts = ", ".join(f"{key} {value}" for key, value in fault.items())
        console.print(f"  {name}: {facts}", highlight=False)
    if summary["explained"]:
        text = summary["explained"].get("text") or str(summary["explained"])
        console.print(Panel(text, title="one decision, explained", expand=False))
    for problem in summary["problems"]:
        console.print(f"[red]does not add up:[/red] {problem}", highlight=False)
    console.print(_next(summary), highlight=False)


def _counts(summary: dict[str, Any]) -> Table:
    table = Table(title="counts", show_header=False, expand=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row("sent", _pairs(summary["sent"]))
    table.add_row("predictions", f"{summary['predictions']:,}")
    table.add_row("dead letters", _by_code(summary["dead_letters_by_code"]))
    table.add_row("repeats ignored", f"{summary['repeats_ignored']:,}")
    table.add_row("missing", f"{summary['missing']:,}")
    table.add_row("predicted twice", f"{summary['duplicates']:,}")
    table.add_row("as fast as possible", f"{summary['events_per_second']:,.0f} a second")
    table.add_row("decisions", _pairs(summary["decisions"]))
    table.add_row("decided by", _pairs(summary["decided_by"]))
    table.add_row("degraded", f"{summary['degraded']:,} {_pairs(summary['degraded_why'])}")
    drift = f"{summary['drift_incidents']:,} of {summary['drift_alerts']:,} alerts"
    table.add_row("drift incidents", drift)
    return table


def _quality(summary: dict[str, Any]) -> Table:
    model = summary["model"]
    table = Table(title=f"the model on live records ({model.get('version', '')})", expand=False)
    table.add_column("figure", style="bold")
    table.add_column("value", justify="right")
    for name in ("rows", "positives", "average_precision", "auc", "precision_at_100_keys_a_day", "brier"):
        value = model.get(name)
        if value is not None:
            table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    for decision, row in model.get("decisions", {}).items():
        share = "-" if row["positive_ratio"] is None else f"{row['positive_ratio']:.1%}"
        table.add_row(f"{decision}: share of positives", f"{share} of {row['count']:,}")
    return table


def _windows(gain: dict[str, Any]) -> str:
    low, high = gain["gain_95_percent"]
    return (
        f"when it was trained, on later rows: average precision {gain['average_precision']:.3f},"
        f" the same model without window features {gain['other_average_precision']:.3f}"
        f" (95 % of the gain: {low:+.3f} to {high:+.3f})"
    )


def _latency(summary: dict[str, Any]) -> str:
    if not summary["latency_ms"]:
        return "latency: nothing was measured"
    figures = ", ".join(f"{name} {value:.0f} ms" for name, value in summary["latency_ms"].items())
    return f"from the moment a record was due to its prediction readable: [bold]{figures}[/bold]"


def _next(summary: dict[str, Any]) -> str:
    name = Path(summary["run"]).name
    return (
        "\nWhat to try next (no server needs to run):\n"
        f"  headrace --run {name} explain {summary['explained'].get('prediction_id', 'PREDICTION_ID')}\n"
        f"  headrace --run {name} models list\n"
        f"  headrace runs use {name}   then commands act on this demo's run without --run\n"
        "  headrace demo --malformed 0.05 --redis-outage 20 --kafka-restart\n"
        f"  {summary['run']}/lake holds every event, feature, label and prediction as Parquet"
    )


def _by_code(codes: dict[str, int]) -> str:
    return _pairs(dict(sorted(codes.items()))) or "none"


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
