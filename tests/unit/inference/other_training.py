"""A training in a process that was given another project, said as JSON: run with HEADRACE_PROJECT set."""

import json
import sys
from pathlib import Path

import orjson

from inference.models.manifest import REPORT_FILE
from inference.models.provenance import Provenance
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.offline.training.training_set import build, newest_ms
from load.this_project import PROJECT, SERVICE
from tests.logins_lake import logins_lake


def main(folder: Path) -> None:
    """Make a lake, train on it, and print what the training set and the report say."""
    lake = logins_lake(folder, PROJECT, accounts=150, days=50)
    data = build(lake, NoProfileHistory(), newest_ms(lake))
    young = build(lake, NoProfileHistory(), int(data.event_ms[0]) + 20 * 86_400_000)
    made = train(data, TrainSettings(rounds_max=40), Provenance())
    report = orjson.loads(made.files[REPORT_FILE])
    said = {
        "project": PROJECT.name, "rows": len(data), "positives": int(data.positive.sum()),
        "width": data.vectors.shape[1], "columns": len(SERVICE.columns),
        "young": [len(young), int(young.positive.sum())],
        "youngest_age_ms": data.until_ms - int(data.event_ms.max()),
        "average_precision": report["quality"]["average_precision"], "money": report["money"],
        "segments": sorted({one["kind"] for one in report["segments"]}),
        "changes": [one["change"] for one in report["robustness"]],
    }  # fmt: skip
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
