"""`headrace import SOURCE=FILE ...`: history out of files, before the first record of the stream."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.params import OUTPUT
from headrace.printing import say, warn

if TYPE_CHECKING:
    from headrace.importing.run import Imported

EXAMPLE = """
\b
Examples:
  headrace import logins.parquet resets=resets.ndjson takeovers=takeovers.parquet
  headrace import events-2024.parquet events-2025.parquet labels=labels.parquet
  headrace import events.parquet --stream-from end           the topic holds what the file has
  headrace import events.parquet --stream-from offsets.json  {"events": {"0": 120, "1": 98}}
"""


@click.command(name="import", epilog=EXAMPLE)
@click.argument("files", metavar="[SOURCE=]FILE...", nargs=-1, required=True)
@click.option(
    "--stream-from", default="beginning", show_default=True, metavar="beginning|end|FILE",
    help="Where the stream goes on in each partition of the sources' topics.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that judge (default: one a core).")
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here, - for stdout.")
def command(files: tuple[str, ...], stream_from: str, workers: int | None, json_file: Path | None) -> None:
    """Begin a new run with the history in files (Parquet or NDJSON in the contract's fields).

    SOURCE is a source of the project, labels too; a FILE without it is of the scored one, and of a source
    there may be several. All records go in one order: time (of a label, when it became known), source, file,
    row. They go straight into the lake (lake/imported/), the stages' state, the memory for repeats, the
    clocks and the store, by the stages' own code; none gets a prediction. The run must have no state yet:
    start the servers (`headrace servers start`), create the topics (`headrace topics create`), import, then
    `headrace up`.

    Each record is judged by its contract as the gate judges it. What is refused is counted by code and kept
    with its file and row in lake/imported/TOPIC_dlq; it stops nothing.

    The stream then goes on at an exact offset of each partition, which is told: by default the first record
    that is there, with --stream-from end behind the last one. An imported id that is sent again
    within its contract's horizon (a day of event time unless it says otherwise) is a repeat.

    A crash leaves a run as it was, or one whose stages refuse to start and name this command: run it again.
    """
    from features.project.running import project_of_process
    from headrace.importing.history import history_files
    from headrace.importing.run import import_history
    from headrace.run_project import adopt_project
    from headrace.seed import Into
    from inference.offline.lake.lake import Lake
    from runtime import environment
    from runtime.personal_keys import keys_for, make_keys
    from streams.stage.settings import StageSettings

    project, run = project_of_process(), environment.current_run()
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    named: Any = stream_from if stream_from in ("beginning", "end") else Path(stream_from)
    into = Into(project, Lake(run.lake, project), settings)
    chosen = history_files(project.pipeline, files)
    make_keys(project.pipeline, run)
    processes = workers or len(os.sched_getaffinity(0))
    made = import_history(chosen, into, keys_for(project.pipeline, run), named, processes, warn)
    adopt_project(run)
    _report(made, json_file)


def _report(made: "Imported", json_file: Path | None) -> None:
    import msgspec

    report = msgspec.to_builtins(made, str_keys=True) | {
        "records_per_second": round(made.total / made.seconds, 1)
    }
    text = msgspec.json.format(msgspec.json.encode(report))
    if str(json_file) == "-":
        click.get_binary_stream("stdout").write(text + b"\n")
        return
    if json_file is not None:
        json_file.write_bytes(text)
    read = " and ".join(f"{count:,} {name}" for name, count in made.records.items() if count)
    say(f"{read} in {made.seconds:.1f} s ({made.total / made.seconds:,.0f} a second)")
    for name, codes in made.refused.items():
        for code, count in codes.items():
            say(f"  {count:,} {name} refused: {code}; see {made.lake}, `headrace code {code}`")
    for name, count in made.repeats.items():
        say(f"  {count:,} {name} were repeats, and count once")
    for topic, offsets in made.goes_on.items():
        at = ", ".join(f"{partition}@{offset}" for partition, offset in sorted(offsets.items()))
        say(f"the stream of {topic} goes on from {at}")
