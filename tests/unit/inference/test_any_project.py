"""Decisions of other projects than card payments: chains, missing keys, categories, no model, no policy."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.events import Prediction, ReviewCase
from contracts.frame import Columns, length, strings
from contracts.keys import key_of
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.load import load_project
from features.project.running import RunningProject
from features.vector import VectorMaker
from inference.models.manifest import MODEL_FILE, Manifest, digest
from inference.models.model import LightGbmModel, Model
from inference.models.null_paths import with_null_paths
from inference.models.text import check_model_text
from inference.policy.engine import PolicyEngine
from inference.policy.policy import NO_POLICY, DeclaredPolicy, policy_of, read_policy
from inference.policy.watch import FixedPolicy
from inference.reading.served import NO_AGE, Served, Status
from inference.review.desk import ReviewDesk
from inference.review.labels import label_of
from inference.scorer.core import Scored, ScorerCore
from load.this_project import PROJECT
from tests.project_maker import write_project
from tests.unit.inference.support import EPOCH, StillClock


def logins_without_hashing() -> RunningProject:
    """Return the example with addresses that are no personal data."""
    folder = Path(tempfile.mkdtemp()) / "logins"
    shutil.copytree("examples/logins", folder)
    for path in (folder / "contracts").iterdir():
        path.write_text(path.read_text().replace("        classification: personal\n", ""))
    return RunningProject(load_project(folder))


LOGINS = logins_without_hashing()
NAMES = ("allow", "challenge", "deny")
START_MS = 1_760_000_000_000
BARE = """\
from headrace import *

logins = Source("contracts/logins.yaml")
account, device = Entity("account_id"), Entity("device_id")
by_account = view(account, logins, [count("1h 24h")])
by_device = view(device, logins, [count("1h")])
project = Project("logins", scored=logins, chain=[account, device], views=[by_account, by_device])
"""
THRESHOLDS = {"challenge": 0.5, "deny": 0.8}


class OwnValues:
    """Serves the rows' own values; the device of some is missing."""

    def __init__(self, project: RunningProject) -> None:
        self._chain = project.pipeline.chain

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events."""
        count, chain = length(rows), self._chain
        status = [
            np.where(key_of(rows, link.fields) == b"", Status.NO_KEY, Status.EXACT).astype(np.uint8)
            for link in chain.links
        ]
        return Served(
            tuple(rows[link.values] for link in chain.links), np.empty((count, 0)), tuple(status),
            np.full(count, Status.DEFAULT, np.uint8), np.full(count, NO_AGE), np.zeros(count, np.bool_),
            True, {},
        )  # fmt: skip


class OneModelOrNone:
    """One model for ever, or none."""

    def __init__(self, model: Model | None) -> None:
        self._model = model

    def current(self) -> Model | None:
        """Return it."""
        return self._model


def rows_of(count: int = 300, project: RunningProject = LOGINS) -> Columns:
    """Return rows of logins as the last stage writes them."""
    rng = np.random.default_rng(11)
    devices = strings([f"d{n % 5}" if n % 4 else "" for n in range(count)])
    rows: Columns = {
        "raw_partition": np.zeros(count, np.int32), "raw_offset": np.arange(count),
        "appended_ms": START_MS + np.arange(count), "traceparent": strings([""] * count),
        "login_id": strings([f"l{n}" for n in range(count)]), "at": START_MS + 60_000 * np.arange(count),
        "account_id": strings([f"a{n % 7}" for n in range(count)]), "device_id": devices,
        "ip": strings([f"h{n % 9}" for n in range(count)]),
        "channel": strings([("web", "app", "api", "fax")[n % 4] for n in range(count)]),
        "result": strings(["ok"] * count),
    }  # fmt: skip
    for link, entity in zip(project.pipeline.chain.links, project.entities, strict=True):
        values = np.floor(rng.gamma(1.0, 4.0, (count, len(entity.columns))))
        values[key_of(rows, link.fields) == b""] = np.nan
        rows |= {
            link.values: values, link.position: np.arange(count), link.partition: np.zeros(count, np.int32)
        }  # fmt: skip
    return rows


def vectors_of(rows: Columns) -> NDArray[np.float64]:
    """Return the vectors of these rows."""
    groups = [rows[link.values] for link in LOGINS.pipeline.chain.links]
    return VectorMaker(LOGINS).assemble(rows, groups, np.empty((length(rows), 0)))


def trained(rows: Columns) -> LightGbmModel:
    """Return a model that learnt which channels are bad."""
    vectors, columns = vectors_of(rows), LOGINS.service.columns
    bad = (np.isin(rows["channel"], [b"app", b"fax"])).astype(np.float64)
    data = lightgbm.Dataset(
        vectors, bad, feature_name=list(columns), categorical_feature=[columns.index("channel")],
        params={"min_data_per_group": 1, "cat_smooth": 1.0, "min_data_in_leaf": 5},
    )  # fmt: skip
    parameters = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": 1}
    text = with_null_paths(lightgbm.train(parameters, data, 40).model_to_string())
    assert check_model_text(text.encode(), list(columns)) == 40
    assert "\nnum_cat=1\n" in text
    return LightGbmModel(text, manifest(text), service=LOGINS.service)


def manifest(text: str, values: tuple[str, ...] = ("web", "app", "api")) -> Manifest:
    """Return what such a model says of itself."""
    return Manifest(
        name="takeover", version="1", definitions_hash="", features=list(LOGINS.service.columns),
        sha256={MODEL_FILE: digest(text.encode())}, thresholds=THRESHOLDS,
        categories={"channel": list(values)},
    )  # fmt: skip


def scored(
    rows: Columns, model: Model | None, policy: DeclaredPolicy, project: RunningProject = LOGINS
) -> Scored:
    """Score rows as the scorer does."""
    core = ScorerCore(
        project, OwnValues(project), OneModelOrNone(model), StillClock(), EPOCH, FixedPolicy(policy)  # type: ignore[arg-type]
    )  # fmt: skip
    return core.score(rows, float(START_MS))


def read(found: Scored) -> list[Prediction]:
    """Return its predictions, each held against the contract."""
    return [msgspec.json.decode(one, type=Prediction) for one in found.predictions]


def test_logins_are_decided_in_their_own_words() -> None:
    rows = rows_of()
    policy = read_policy(Path("examples/logins/policy.yaml"), LOGINS)
    found = read(scored(rows, trained(rows), policy))
    limits = policy.policy.thresholds
    assert isinstance(limits, dict)
    for at, one in enumerate(found):
        assert one.event_id == f"l{at}"
        assert one.keys == {
            "account": f"a{at % 7}",
            "device": f"d{at % 5}" if at % 4 else None,
            "ip": f"h{at % 9}",
        }
        assert {name: group.status for name, group in one.features.groups.items()} == {
            "account": "exact", "device": "exact" if at % 4 else "no_key", "ip": "exact",
        }  # fmt: skip
        assert isinstance(one.score, float)
        by_score = NAMES[(one.score >= limits["challenge"]) + (one.score >= limits["deny"])]
        asked = [policy.policy.rules[rule.id].severity for rule in one.rules if rule.outcome == "hit"]
        assert one.decision == max([by_score, *asked], key=NAMES.index)
        assert one.source.topic == "logins"
        assert (one.degraded, one.rung) == (False, "full")
    assert {one.decision for one in found} == {"allow", "challenge", "deny"}
    assert {rule.outcome for one in found for rule in one.rules} == {"hit", "no_hit"}


def test_a_category_is_learnt_and_what_is_unknown_is_one_of_its_own() -> None:
    rows = rows_of()
    model, vectors = trained(rows), vectors_of(rows)
    assert vectors[:4, 0].tolist() == [1.0, 2.0, 3.0, 0.0]
    by_channel = {
        name: model.predict(vectors[rows["channel"] == name]) for name in np.unique(rows["channel"])
    }
    assert min(by_channel[b"app"].min(), by_channel[b"fax"].min()) > max(
        by_channel[b"web"].max(), by_channel[b"api"].max()
    )
    rows["channel"][3] = b""  # as the gate writes null
    assert vectors_of(rows)[3, 0] == 0.0


def test_a_model_keeps_its_codes_when_the_contracts_list_changes() -> None:
    """The same texts score the same bits, and a value that is new since is unknown to it."""
    rows = rows_of()
    before = trained(rows)
    text = before._booster.model_to_string()
    now = LOGINS.service
    changed = msgspec.structs.replace(now, categories={"channel": ("api", "kiosk", "web", "app")})
    after = LightGbmModel(text, manifest(text), service=changed)
    codes = {b"web": 3.0, b"app": 4.0, b"api": 1.0, b"fax": 0.0}
    old, new = vectors_of(rows), vectors_of(rows)
    new[:, 0] = [codes[name] for name in rows["channel"].tolist()]
    assert after.predict(new).tobytes() == before.predict(old).tobytes()
    assert after.contributions(new).tobytes() == before.contributions(old).tobytes()
    new[:, 0], old[:, 0] = 2.0, 0.0  # a kiosk
    assert after.predict(new).tobytes() == before.predict(old).tobytes()


def test_cases_are_of_decisions_that_queue_and_say_no_worth_where_none_is_declared() -> None:
    rows = rows_of()
    policy = read_policy(Path("examples/logins/policy.yaml"), LOGINS)
    found = scored(rows, trained(rows), policy)
    assert found.judged is not None
    assert found.arms is not None
    opened = ReviewDesk(EPOCH, 1, LOGINS).open(
        rows, found.judged, PolicyEngine(policy, LOGINS), found.arms, START_MS, {}
    )
    cases = [msgspec.json.decode(one["value"], type=ReviewCase) for one in opened.records]
    due = [one for one in read(found) if one.decision == "challenge"]
    assert [case.event_id for case in cases] == [one.event_id for one in due]
    assert [case.keys for case in cases] == [one.keys for one in due]
    assert {case.amount_minor for case in cases} == {msgspec.UNSET}


def rule(when: str, severity: str = "deny") -> dict[str, Any]:
    """Return a policy's change to one rule."""
    return {"rules": {"a": {"when": when, "severity": severity, "reason": "So."}}}


def _policy(**changes: Any) -> bytes:
    document: dict[str, Any] = {"name": "p", "version": "1", "fallback": "challenge"}
    return msgspec.yaml.encode(document | changes)


@pytest.mark.parametrize(
    ("changes", "code", "nearest"),
    [
        ({"fallback": "chalenge"}, "E_POLICY_DECISION", "challenge"),
        ({"thresholds": {"dney": 0.9}}, "E_POLICY_DECISION", "deny"),
        ({"thresholds": {"challenge": 0.9, "deny": 0.4}}, "E_POLICY_THRESHOLDS", "challenge <= deny"),
        ({"decisions": [{"name": "allow"}, {"name": "deny"}]}, "E_POLICY_DECISION", "challenge"),
        (rule("channel == 'web'", "block"), "E_POLICY_DECISION", ""),
        (rule("chanel == 'web'"), "E_EXPRESSION_NAME", "channel"),
        (rule("channel > 1"), "E_EXPRESSION_TYPE", ""),
        ({"overrides": [{"id": "o", "customer": "c1", "decision": "deny", "until": "2030-01-01T00:00:00Z",
                         "who": "a", "why": "b"}]}, "E_POLICY_FIELD", ""),
        ({"overrides": [{"id": "o", "decision": "deny", "until": "2030-01-01T00:00:00Z", "who": "a",
                         "why": "b"}]}, "E_POLICY_KEY", "account, device, ip"),
    ],
)  # fmt: skip
def test_a_policy_that_the_project_cannot_have_is_refused(changes: Any, code: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(_policy(**changes), Path("p.yaml"), LOGINS)
    assert refused.value.code == code
    assert nearest in refused.value.what


def test_people_decide_by_any_entity_and_rules_read_fields_of_the_event() -> None:
    rows, until = rows_of(), "2100-01-01T00:00:00Z"
    people = {"who": "ana", "why": "so", "until": until}
    policy = policy_of(
        _policy(
            **rule("channel == 'api' and device_id is not null", "challenge"),
            overrides=[{"id": "o", "device": "d1", "decision": "deny", **people}],
            snoozes=[{"id": "s", "ip": "h2", **people}],
        ), Path("p.yaml"), LOGINS,
    )  # fmt: skip
    for at, one in enumerate(read(scored(rows, None, policy))):
        api = rows["channel"][at] == b"api" and rows["device_id"][at] != b""
        due = (
            "deny"
            if rows["device_id"][at] == b"d1"
            else "challenge"
            if api and rows["ip"][at] != b"h2"
            else "allow"
        )
        assert one.decision == due


def test_a_project_of_features_only_decides_nothing_and_says_its_features(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p", features=BARE)
    (folder / "policy.yaml").unlink()
    project = RunningProject(load_project(folder))
    assert (project.compiled.problems, project.decisions.names) == ((), ("not_assessed",))
    rows = rows_of(40, project)
    policy = read_policy(folder / "policy.yaml", project)
    assert policy is NO_POLICY
    for one in read(scored(rows, None, policy, project)):
        assert (one.decision, one.decided_by, one.risk_band) == ("not_assessed", "default", "not_assessed")
        assert (one.rung, one.policy, one.rules, one.reasons) == ("not_assessed", msgspec.UNSET, [], [])
        assert len(one.features.values) == len(project.service.columns) == 3
        assert list(one.features.groups) == ["account", "device"]


def case_of(project: RunningProject, keys: dict[str, str | None]) -> ReviewCase:
    """Return a case of a project's event."""
    return ReviewCase(
        case_id="1-0-7", event_id="e7", keys=keys, event_time=START_MS, opened_at=START_MS, why="decision",
        decision=project.decisions.names[1], decided_by="rule", policy="p/1", reasons=[],
    )  # fmt: skip


@pytest.mark.parametrize("positive", [True, False])
def test_what_people_found_is_a_label_that_the_gate_accepts(positive: bool) -> None:
    for project, keys in (
        (PROJECT, {"customer": "c1", "terminal": "m1"}),
        (LOGINS, {"account": "a1", "device": None, "ip": "h1"}),
    ):  # fmt: skip
        label = label_of(project, case_of(project, keys), positive, START_MS + 5_000)
        assert not isinstance(label, str)
        source = project.pipeline.labels[0]
        found = judge(source, RawBatch.of([(0, 0, START_MS + 6_000, label.key, label.value, None)]))
        assert not found.bad
        assert found.good["positive"].tolist() == [positive]
        assert found.good[source.time].tolist() == [START_MS + 5_000]
        assert project.event.ids_of(found.good).tolist() == [b"e7"]


def test_a_label_that_a_case_cannot_make_says_what_it_lacks() -> None:
    hashed = RunningProject(load_project(Path("examples/logins")))
    case = case_of(hashed, {"account": "a1", "device": None, "ip": "0123"})
    assert label_of(hashed, case, True, START_MS) == "a case does not say ip of takeovers"
    bare = msgspec.structs.replace(case, keys={"account": "a1", "device": None, "ip": None})
    assert label_of(LOGINS, bare, True, START_MS) == "a case does not say ip of takeovers"
