"""`headrace bench`: named, seeded scenarios beside their floor or peers, figures stored as data."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from headrace.groups import NearestGroup
from headrace.params import OUTPUT
from load.commands import tell

EXAMPLE = """
\b
Examples:
  headrace bench list
  headrace bench run features
  headrace bench run pipeline --json pipeline.json
"""


@click.group(name="bench", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Measure parts and the whole on this machine."""


@command.command(name="list", epilog="Example: headrace bench list")
def list_scenarios() -> None:
    """Show the scenarios."""
    from load.bench.scenarios import SCENARIOS

    for scenario in SCENARIOS:
        click.echo(f"{scenario.name:12} {scenario.about}")


@command.command(epilog="Example: headrace bench run store-write --json figures.json")
@click.argument("name")
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here, - for stdout.")
@click.option(
    "--rate", type=click.FloatRange(min=1.0), help="Events a second, where the scenario has a rate."
)
def run(name: str, json_file: Path | None, rate: float | None) -> None:
    """Run the scenario NAME and append its report to load/results/.

    Servers that run are used; otherwise some are started for the run and stopped after it.
    """

    from load.bench.outcome import as_json, store
    from load.bench.scenarios import scenario
    from load.bench.stack import local_servers
    from runtime import environment

    chosen = scenario(name)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if chosen.servers:
        with local_servers(environment.root()) as servers:
            outcome = chosen.runner()(environment.root(), servers, **chosen.asked(rate))
    else:
        outcome = chosen.runner()()
    report = as_json(name, outcome, at)
    tell(report, json_file, lambda: _show(report))
    click.echo(f"stored in {store(report)}", err=True)


def _show(report: dict[str, Any]) -> None:
    rows = {report["scenario"]: report["figures"], **report["parts"], **report["peers"]}
    click.echo(f"{'':24} {'events':>10} {'a second':>12} {'a CPU-second':>13} {'peak MiB':>9}")
    for name, row in rows.items():
        click.echo(
            f"{name:24} {row['events']:>10,} {row['events_per_s']:>12,.0f} {row['events_per_cpu_s']:>13,.0f}"
            f" {row['peak_rss_mib']:>9,.0f}"
        )
    for name, ratio in report["ratios"].items():
        click.echo(f"{ratio:.2f} times {name}")
    for note in report["notes"]:
        click.echo(f"  {note}")
