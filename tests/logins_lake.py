"""A lake of the logins' example, of seeded records of its generator."""

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from features.project.load import run_file
from features.project.running import RunningProject
from inference.offline.lake.lake import FixedLake
from tests.project_lake import Sent, make_project_lake

LOGINS = Path(__file__).resolve().parents[1] / "examples" / "logins"


def logins_lake(folder: Path, project: RunningProject, accounts: int = 30, days: int = 20) -> FixedLake:
    """Write a lake of logins, resets and take-overs, one login of which came twice."""
    sent = sent_logins(accounts, days)
    sent["logins"].append(sent["logins"][5]._replace(at_ms=sent["logins"][5].at_ms + 1))
    return make_project_lake(folder, project, sent)


def sent_logins(accounts: int, days: int) -> dict[str, list[Sent]]:
    """Return logins, resets and take-overs as their producers send them."""
    generator = run_file(LOGINS / "generate.py")
    made = generator.generate(generator.Plan(accounts=accounts, days=days))
    return {name: [_sent(name, row) for row in rows] for name, rows in made.items()}


def logins_with_horizons(folder: Path, horizons_ms: Mapping[str, int]) -> Path:
    """Copy the example into a folder, with contracts that say for how long ids are remembered."""
    shutil.copytree(LOGINS, folder)
    for name, horizon_ms in horizons_ms.items():
        path = folder / "contracts" / f"{name}.yaml"
        said = f"customProperties:\n  - {{property: deduplicateMs, value: {horizon_ms}}}\n"
        path.write_text(path.read_text().replace("\ncustomProperties:\n", f"\n{said}", 1))
    return folder


def _sent(source: str, row: dict[str, Any]) -> Sent:
    moment = datetime.fromisoformat(row["known_at" if source == "takeovers" else "at"])
    key = row["login_id"] if source == "takeovers" else row["account"]["id"]
    return Sent(int(moment.timestamp() * 1000), key.encode(), json.dumps(row).encode())
