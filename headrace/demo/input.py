"""What the demo feeds: a generated workload or given files, as records, with what judging them needs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.event_identity import EventIdentity
from features.project.running import RunningProject
from headrace.demo.plan import DemoPlan
from headrace.traffic.form import Form, forms_of
from headrace.traffic.input_files import Records, open_records
from headrace.traffic.malformed import MalformedMix
from headrace.traffic.named_files import files_by_form
from headrace.traffic.read_back import LabelTruth, RecordFacts, facts_of, truth_of
from headrace.traffic.workloads import Generator

EVENTS_MIN = 100


@dataclass(slots=True)
class DemoInput:
    """Records to send, the scored ones first; ids and facts by row; what their labels say in the end."""

    records: dict[Form, Records]
    malformed: MalformedMix | None
    ids: list[str]
    facts: RecordFacts
    truth: LabelTruth

    @property
    def moment_ms(self) -> NDArray[np.int64]:
        """Return when each scored record is delivered."""
        return next(iter(self.records.values())).moment_ms


def load_input(plan: DemoPlan, project: RunningProject) -> DemoInput:
    """Return the plan's input for a project.

    Raises:
        ConfigError: E_INPUT_* and E_WORKLOAD_*; E_DEMO_INPUT, there are no scored records; E_DEMO_EVENTS, too
            few of them to split; E_DEMO_PARTITIONS, their place alone names them, and there are several.
    """
    forms = forms_of(project.pipeline)
    found = _given(plan, project) if plan.files else Generator.of(project.folder).records(
        plan.workload, plan.events, forms
    )  # fmt: skip
    scored = forms[project.pipeline.scored.name]
    by_name = {form.name: records for form, records in found.items()}
    if scored.name not in by_name:
        raise ConfigError(
            "E_DEMO_INPUT", f"no records of {scored.name}, which ask for decisions", project.name,
            f"give {scored.name}=FILE",
        )  # fmt: skip
    lead, others = by_name[scored.name], {form: r for form, r in found.items() if form.name != scored.name}
    if len(lead.moment_ms) < EVENTS_MIN:
        raise ConfigError(
            "E_DEMO_EVENTS", f"{len(lead.moment_ms)} records are too few for history and a live part",
            scored.name, f"give at least {EVENTS_MIN}; a model needs some thousands",
        )  # fmt: skip
    ratio, named = plan.faults.malformed_ratio, project.event
    malformed = MalformedMix(lead, scored, ratio, plan.seed) if ratio else None
    return DemoInput(
        records={scored: malformed or lead, **others},
        malformed=malformed,
        ids=_ids(named, lead, malformed, plan),
        facts=facts_of(scored, lead, named),
        truth=truth_of({form: r for form, r in others.items() if form.source.is_labels}, named),
    )


def _given(plan: DemoPlan, project: RunningProject) -> Mapping[Form, Records]:
    """Open the files that were named."""
    files = files_by_form(project.pipeline, plan.files, plan.labels_file)
    return {
        form: open_records(path, form, plan.events if form.source.is_scored else None)
        for form, path in files.items()
    }


def _ids(named: EventIdentity, lead: Records, malformed: MalformedMix | None, plan: DemoPlan) -> list[str]:
    """Return the ids of the scored records; where none is declared their place in the one partition is."""
    if named.fields:
        return lead.ids()
    if plan.partitions > 1:
        raise ConfigError(
            "E_DEMO_PARTITIONS", "without an id records are named by their place, which one partition tells",
            str(plan.partitions), "leave --partitions at 1, or declare a primary key in the contract",
        )  # fmt: skip
    rows = np.arange(len(lead.moment_ms))
    places = rows if malformed is None else rows + np.cumsum(malformed.before)
    return [f"0-{place}" for place in places.tolist()]
