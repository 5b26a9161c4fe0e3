"""The means of the workers' own step times between two moments, from their metrics."""

import urllib.request
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

# metric -> the step's name, made with the metric's labels
WATCHED = {
    "headrace_gate_batch_seconds": "gate_judge",
    "headrace_stage_fold_seconds": "{stage}_fold",
    "headrace_stage_store_write_seconds": "{stage}_store",
    "headrace_stage_checkpoint_seconds": "{stage}_checkpoint",
    "headrace_scorer_step_seconds": "scorer_{step}",
}
TIMEOUT_S = 5.0

Labels = tuple[tuple[str, str], ...]


class Steps:
    """Reads the metrics of every worker of a run twice; `means_ms` is of what happened between."""

    def __init__(self, ports: Path) -> None:
        self._ports = ports
        self._begin: dict[str, tuple[float, float]] = {}
        self._end: dict[str, tuple[float, float]] = {}

    def begin(self) -> None:
        """Note where the counters stand."""
        self._begin = self._read()

    def end(self) -> None:
        """Note where they stand now."""
        self._end = self._read()

    def means_ms(self) -> dict[str, float]:
        """Return the mean of each step in ms."""
        means = {}
        for step, (total_s, count) in self._end.items():
            before_s, before = self._begin.get(step, (0.0, 0.0))
            if count > before:
                means[step] = round((total_s - before_s) / (count - before) * 1e3, 3)
        return means

    def _read(self) -> dict[str, tuple[float, float]]:
        found: dict[str, tuple[float, float]] = {}
        for note in self._ports.glob("*.json"):
            port = msgspec.json.decode(note.read_bytes())["port"]
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S
            ) as reply:  # loopback
                text = reply.read().decode()
            for family in text_string_to_metric_families(text):
                if family.name in WATCHED:
                    found |= _of(family.name, family.samples)
        return found


def _key(sample: Sample) -> Labels:
    return tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))


def _of(name: str, samples: list[Sample]) -> dict[str, tuple[float, float]]:
    found = {}
    for key in {_key(sample) for sample in samples}:
        values = {s.name: s.value for s in samples if _key(s) == key}
        found[WATCHED[name].format(**dict(key))] = (values[f"{name}_sum"], values[f"{name}_count"])
    return found
