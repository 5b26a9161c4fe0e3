"""Proof that a version comes from what its manifest says: train it again and compare the bytes."""

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts.errors import ModelError
from features.project.running import RunningProject
from inference.models.manifest import BASELINE_FILE, CALIBRATION_FILE, GOLDEN_FILE, MODEL_FILE, digest
from inference.models.provenance import Provenance
from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import ProfileHistory
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.offline.training.training_set import build

REPRODUCED = (MODEL_FILE, CALIBRATION_FILE, GOLDEN_FILE, BASELINE_FILE)  # the report has latencies in it


class Reproduced(msgspec.Struct, frozen=True, kw_only=True):
    """What a second training gave: `files` says of each whether its bytes are equal, `inputs` what differs.

    An input that differs (code, lock file, definitions, data) is why bytes may differ; it is told as a pair
    of then and now.
    """

    id: str
    equal: bool
    files: dict[str, bool]
    inputs: dict[str, tuple[str, str]]


def reproduce(
    version_id: str,
    manifest: Mapping[str, Any],
    lake: Lake,
    profiles: ProfileHistory,
    provenance: Provenance,
) -> Reproduced:
    """Train a version again from its manifest and return how the two compare.

    Args:
        manifest: what `Registry.manifest` returns.
        profiles: as the first training had them.

    Raises:
        ModelError: E_MODEL_REPRODUCE, the manifest does not say enough; or as `train`.
    """
    try:
        settings = msgspec.convert(manifest["settings"], TrainSettings)
        until_ms = int(manifest["data"]["until_ms"])
    except (KeyError, msgspec.ValidationError) as error:
        raise ModelError(
            "E_MODEL_REPRODUCE", f"the manifest says too little: {error}", version_id,
            "only versions that `headrace train` made can be reproduced",
        ) from error  # fmt: skip
    data = build(lake, profiles, until_ms)
    again = train(data, settings, provenance)
    then = manifest["sha256"]
    due = [
        name for name in REPRODUCED if name != BASELINE_FILE or name in then
    ]  # versions of before have none
    files = {name: then.get(name) == digest(again.files[name]) for name in due}
    return Reproduced(
        id=version_id, equal=all(files.values()), files=files,
        inputs=_differences(manifest, data.data_hash, provenance, lake.project),
    )  # fmt: skip


def _differences(
    manifest: Mapping[str, Any], data_hash: str, provenance: Provenance, project: RunningProject
) -> dict[str, tuple[str, str]]:
    now = {
        "data_hash": data_hash, "definitions_hash": project.definitions_hash,
        "git_commit": provenance.git_commit, "lock_hash": provenance.lock_hash,
    }  # fmt: skip
    return {
        name: (str(manifest.get(name, "")), value)
        for name, value in now.items()
        if manifest.get(name, "") != value
    }
