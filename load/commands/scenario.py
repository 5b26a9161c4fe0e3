"""`headrace scenario`: stories of event time on real servers, with figures and a plot."""

import sys
from pathlib import Path

import click

from headrace.groups import NearestGroup
from headrace.params import OUTPUT

EXAMPLE = """
\b
Examples:
  headrace scenario pattern-change
  headrace scenario pattern-change --json figures.json --plot docs/pattern-change.svg
  headrace scenario served-quality --plot served.svg
  headrace scenario served-quality --imported
"""


@click.group(name="scenario", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Run a named scenario; servers, topics and workers are its own."""


@command.command(name="pattern-change")
@click.option("--json", "json_file", type=OUTPUT, help="Write the figures here, - for stdout.")
@click.option("--plot", "plot_file", type=OUTPUT, help="Write the plot (SVG) here.")
def pattern_change(json_file: Path | None, plot_file: Path | None) -> None:
    """Fraud changes its pattern: drift, matured labels, a challenger in shadow, promotion, recovery.

    Exits with 1 when the loop did not close.

    Example: headrace scenario pattern-change --plot loop.svg
    """
    import os
    from datetime import UTC, datetime

    import orjson

    from load.scenarios import pattern_change as scenario

    name = f"pattern-change-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    found = scenario.PatternChange(tell=lambda text: click.echo(text, err=True)).run(name)
    to_stdout = str(json_file) == "-"
    scenario.write(found, None if to_stdout else json_file, plot_file)
    shown = {key: value for key, value in found.items() if key != "series"}
    if to_stdout or json_file is None:
        sys.stdout.write(
            orjson.dumps(found if to_stdout else shown, option=orjson.OPT_INDENT_2).decode() + "\n"
        )
    wrong = scenario.problems(found)
    for problem in wrong:
        click.echo(f"the loop did not close: {problem}", err=True)
    sys.exit(bool(wrong))


@command.command(name="served-quality")
@click.option("--json", "json_file", type=OUTPUT, help="Write the figures here, - for stdout.")
@click.option("--plot", "plot_file", type=OUTPUT, help="Write the plot (SVG) here.")
@click.option("--from", "from_ms", type=int, help="Judge from here (epoch ms) by a model of what was known.")
@click.option("--imported", is_flag=True, help="Models learn from what `headrace import` brought.")
def served_quality(
    json_file: Path | None, plot_file: Path | None, from_ms: int | None, imported: bool
) -> None:
    """How a run's events were ranked by the scores that were served, by week, with windows and without.

    Of the run that was chosen, from its lake alone: no server runs. With --from no score need have been
    served: a model is trained on the labels known by then, and judges what came later.

    Example: headrace scenario served-quality --plot served.svg
    """
    import orjson

    from headrace.training_data import lake_of
    from load.scenarios import served_quality as scenario
    from runtime.environment import current_run

    run = current_run()
    history = lake_of(run, imported=True) if imported else None
    found = scenario.figures(lake_of(run), from_ms, history)
    if plot_file is not None:
        plot_file.write_text(scenario.plotted(found))
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"
    if json_file is None or str(json_file) == "-":
        sys.stdout.write(text)
    else:
        json_file.write_text(text)
