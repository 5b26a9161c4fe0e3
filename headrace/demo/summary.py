"""The demo's arithmetic: what went in against what came out, by id, and whether it adds up.

Nothing here trusts a counter of the service: predictions and dead letters are those a subscriber read.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.demo.plan import Parts
from headrace.traffic.latency import latencies_ms, percentiles_ms
from headrace.traffic.malformed import Expected
from headrace.traffic.observed import DECIDERS, Observed

MODEL = DECIDERS.index("model")


@dataclass(slots=True)
class Facts:
    """What the driver did and measured."""

    parts: Parts
    scored_sent: int = 0
    labels_sent: int = 0
    sent: dict[str, int] = field(default_factory=dict)  # by source
    malformed: Counter[Expected] = field(default_factory=Counter)
    scheduled_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    phase_seconds: dict[str, float] = field(default_factory=dict)
    phase_events: dict[str, int] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    gain: dict[str, Any] = field(default_factory=dict)  # of window features over the event alone
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    no_model: str = ""  # the code of why no model could be trained
    example: str = ""  # the prediction to explain
    run: str = ""


def summarise(observed: Observed, facts: Facts) -> dict[str, Any]:
    """Return the summary; `problems` is empty when everything adds up."""
    counts = _counts(observed, facts)
    summary = {
        **counts,
        "events_per_second": _throughput(facts),
        "latency_ms": _latency(observed, facts),
        "model": facts.model,
        "decisions": observed.decided(),
        "decided_by": _decided_by(observed),
        "degraded": int(observed.outcomes.degraded.sum()),
        "degraded_why": dict(observed.degraded_why),
        "drift_incidents": observed.drift_incidents,
        "drift_alerts": observed.drift_alerts,
        "history_events": facts.parts.live,
        "live_events": facts.parts.end - facts.parts.live,
        "paced_events": facts.parts.end - facts.parts.paced,
        "labels_in": facts.labels_sent,
        "sent": facts.sent,
        "seconds": {name: round(value, 2) for name, value in facts.phase_seconds.items()},
        "faults": facts.faults,
        "explained": facts.example,
        "run": facts.run,
    }
    return {**summary, "problems": problems(summary, observed, facts)}


def _counts(observed: Observed, facts: Facts) -> dict[str, Any]:
    """Count in and out. A repeat is a row whose id was sent before; it gets no prediction of its own."""
    letters = [letter for letter in observed.dead_letters.values() if letter.topic == observed.topic]
    known = observed.slots[observed.slots >= 0]
    refused_repeats = sum(1 for letter in letters if _predicted(observed, letter.event_id))
    malformed = sum(facts.malformed.values())
    return {
        "events_in": facts.scored_sent + malformed,
        "predictions": int(observed.outcomes.count.sum()) + observed.strangers,
        "dead_letters": len(observed.dead_letters),
        "dead_letters_by_code": dict(Counter(letter.code for letter in observed.dead_letters.values())),
        "duplicates": int((observed.outcomes.count > 1).sum()),
        "repeats_ignored": len(known) - len(observed.slot_of) - refused_repeats,
        "missing": len(np.unique(observed.slots[observed.missing_rows()])),
        "malformed_in": malformed,
    }


def _predicted(observed: Observed, event_id: str) -> bool:
    slot = observed.slot_of.get(event_id)
    return slot is not None and bool(observed.outcomes.count[slot])


def problems(summary: dict[str, Any], observed: Observed, facts: Facts) -> list[str]:
    """Return what does not add up, in words."""
    found = []
    if facts.scored_sent != len(observed.slots):
        found.append(f"{len(observed.slots) - facts.scored_sent} records were never sent")
    if summary["missing"]:
        rows = observed.missing_rows()
        found.append(f"{summary['missing']} records have no prediction, the first is row {rows[0]}")
    if summary["duplicates"]:
        found.append(f"{summary['duplicates']} records have more than one prediction")
    if observed.strangers:
        found.append(f"{observed.strangers} predictions are for records that were never sent")
    refused = sum(1 for letter in observed.dead_letters.values() if letter.topic == observed.topic)
    accounted = summary["predictions"] + refused + summary["repeats_ignored"]
    if accounted != summary["events_in"]:
        found.append(f"{summary['events_in']} records went in, {accounted} are accounted for")
    found += _malformed_problems(observed, facts.malformed)
    return found + [
        f"{name}: {fault['problem']}" for name, fault in facts.faults.items() if "problem" in fault
    ]


def _malformed_problems(observed: Observed, expected: Counter[Expected]) -> list[str]:
    """Compare malformed records with the dead letters they became: bytes and code, one for one."""
    if not expected:
        return []
    malformed = {(key, value) for key, value, _ in expected}
    came = Counter(
        (letter.key, letter.value, letter.code)
        for letter in observed.dead_letters.values()
        if (letter.key, letter.value) in malformed
    )
    found = []
    for key, value, code in (expected - came).elements():
        others = [c for k, v, c in came if (k, v) == (key, value)]
        found.append(f"a malformed record awaited {code}, came out as {others or 'nothing'}: {value!r:.120}")
    return [*found[:5], *([f"and {len(found) - 5} more malformed records"] if len(found) > 5 else [])]


def _latency(observed: Observed, facts: Facts) -> dict[str, float]:
    rows = observed.slots[facts.parts.paced : facts.parts.paced + len(facts.scheduled_s)]
    first = _first_of_its_slot(observed.slots)[facts.parts.paced : facts.parts.paced + len(rows)]
    return percentiles_ms(latencies_ms(facts.scheduled_s[first], observed.outcomes.readable_s[rows[first]]))


def _first_of_its_slot(slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    first = np.zeros(len(slots), np.bool_)
    first[np.unique(slots, return_index=True)[1]] = True
    return first & (slots >= 0)


def _throughput(facts: Facts) -> float:
    """Return scored records a second over the parts sent as fast as they were digested."""
    seconds = sum(facts.phase_seconds.get(name, 0.0) for name in ("history", "live"))
    events = sum(facts.phase_events.get(name, 0) for name in ("history", "live"))
    return round(events / seconds, 1) if seconds else 0.0


def _decided_by(observed: Observed) -> dict[str, int]:
    return {name: int((observed.outcomes.decided_by == i).sum()) for i, name in enumerate(DECIDERS)}
