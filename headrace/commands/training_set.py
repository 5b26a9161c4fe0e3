"""`headrace training-set`: what `headrace train` trains on, as a file."""

from pathlib import Path

import click

from headrace.params import OUTPUT
from headrace.printing import say

EXAMPLE = """
\b
Examples:
  headrace training-set -o training.parquet
  headrace training-set -o training.csv --until 1526860800000
"""


@click.command(name="training-set", epilog=EXAMPLE)
@click.option(
    "-o", "--output", "path", type=OUTPUT, required=True, metavar="FILE", help="Where to: .parquet or .csv."
)
@click.option("--until", "until_ms", type=int, help="Training moment, epoch ms (default: the lake's newest).")
@click.option("--imported", is_flag=True, help="Of what `headrace import` brought, not of the stream.")
def command(path: Path, until_ms: int | None, imported: bool) -> None:
    """Write the run's training set: an event a row, what it was served with, and what it turned out to be.

    Exact as of each event, and of labels only those that were known at the training moment: the rows and
    values that `headrace train` would take. In a notebook: headrace.training_data.training_frame().
    No server needs to run.
    """
    from features.project.running import project_of_process
    from headrace.training_data import training_data
    from headrace.training_file import write_table
    from inference.offline.training.training_table import training_table
    from runtime.environment import current_run

    data = training_data(current_run(), project_of_process(), until_ms, imported)
    write_table(training_table(data), path)
    positives = int(data.positive.sum())
    say(
        f"{path}: {len(data):,} events known by {data.until_ms}, {positives:,} of them positive,"
        f" {data.vectors.shape[1]} inputs; data {data.data_hash[:12]}"
    )
