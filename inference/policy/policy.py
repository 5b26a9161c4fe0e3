"""The decision policy as people write it down: its parts, how a file is read, and what is refused.

Nothing decides here; `policy_engine` puts a policy to work. The digest of the file's bytes is what every
prediction names.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from contracts.contract_version import ContractField
from contracts.errors import ConfigError
from contracts.events import PolicyUsed
from contracts.yaml_file import parse, read_bounded
from features.declare import Decision
from features.expressions.parse import nearest
from features.project.decisions import NOT_ASSESSED, Decisions
from features.project.running import RunningProject
from inference.models.manifest import Limits, Thresholds, digest
from inference.policy.part import Name, Part
from inference.policy.rule import RuleTerms, decision_faults, faults_of

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Number = Annotated[int, msgspec.Meta(ge=0)]


class Bound(Part, frozen=True, kw_only=True):
    """The values of one feature that are clear; a null is never."""

    at_least: float | None = None
    at_most: float | None = None


class GatekeeperTerms(Part, frozen=True, kw_only=True):
    """The first tier: off, clearing what is proven, or clearing what is declared."""

    mode: Literal["disabled", "proven", "declared"] = "disabled"
    clear: dict[str, Bound] = msgspec.field(default_factory=dict)


class ReasonText(Part, frozen=True, kw_only=True):
    """What is said of the features of a family: it is named once, by the one that raised the score most."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
    text: Annotated[str, msgspec.Meta(min_length=2, max_length=300)]


class ReasonTerms(Part, frozen=True, kw_only=True):
    """How many contributions a reason list names, how many rows of a batch get any, and how they read.

    `texts` are by how the names of features begin; a feature belongs to the first that fits. Codes are for
    programs and never change.
    """

    a_row: Number = 3
    rows_max: Number = 64
    texts: dict[str, ReasonText] = msgspec.field(default_factory=dict)


class ReviewTerms(Part, frozen=True, kw_only=True):
    """What people can do in a day, and what a look, a wrong stop and a missed positive cost.

    `loss_share` is the part of a positive's worth that is lost where it is not stopped.
    """

    cases_a_day: Number = 100
    review_cost_minor: Number = 0
    decline_cost_minor: Number = 0
    loss_share: Share = 1.0


class UncertainTerms(Part, frozen=True, kw_only=True):
    """Scores within `margin` of the threshold from which people look, at most `a_day` an event-time day."""

    a_day: Number = 0
    margin: Share = 0.05


class RandomTerms(Part, frozen=True, kw_only=True):
    """A slice drawn by hash, at most `a_day` an event-time day."""

    a_day: Number = 0
    share: Share = 0.001


class SampleTerms(Part, frozen=True, kw_only=True):
    """What joins the review queue to be learned from."""

    uncertain: UncertainTerms = UncertainTerms()
    random: RandomTerms = RandomTerms()


class Override(Part, frozen=True, kw_only=True):
    """A person's decision on the events of one key of an entity with an event time before `until`.

    In the file the entity's name stands for `keys`: `{account: "a1", decision: deny, ...}`.
    """

    id: Name
    decision: Name
    until: str
    who: Name
    why: Name
    keys: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def until_ms(self) -> int:
        """Epoch ms of `until`."""
        return _epoch_ms(self.until)


class Snooze(Part, frozen=True, kw_only=True):
    """A rule, or what waits for people of one key, muted for events with an event time before `until`."""

    id: Name
    until: str
    who: Name
    why: Name
    rule: str | None = None
    keys: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def until_ms(self) -> int:
        """Epoch ms of `until`."""
        return _epoch_ms(self.until)


class DecisionTerms(Part, frozen=True, kw_only=True):
    """One of the project's decisions, as it is listed, the mildest first."""

    name: Name
    queue: bool = False
    stops: bool = False


class Policy(Part, frozen=True, kw_only=True):
    """Everything that decides beside the model."""

    name: Name
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    decisions: list[DecisionTerms] = msgspec.field(default_factory=list)
    gatekeeper: GatekeeperTerms = GatekeeperTerms()
    rules: dict[str, RuleTerms] = msgspec.field(default_factory=dict)
    thresholds: Literal["model"] | dict[str, Share] = "model"
    fallback: Name
    reasons: ReasonTerms = ReasonTerms()
    review: ReviewTerms = ReviewTerms()
    sample: SampleTerms = SampleTerms()
    overrides: list[Override] = msgspec.field(default_factory=list)
    snoozes: list[Snooze] = msgspec.field(default_factory=list)

    def own_limits(self, decisions: Sequence[str]) -> Limits | None:
        """Return the policy's own thresholds, one a decision above the mildest; None: each model's hold."""
        return None if isinstance(self.thresholds, str) else Thresholds(self.thresholds).limits(decisions)


class DeclaredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and the file it was read from; `sha256` is the digest of `data`, the file's bytes."""

    policy: Policy
    sha256: str
    where: str
    data: bytes

    @property
    def used(self) -> PolicyUsed | None:
        """How predictions name it; None where nothing was declared."""
        if not self.sha256:
            return None
        return PolicyUsed(name=self.policy.name, version=self.policy.version, sha256=self.sha256)


NO_POLICY = DeclaredPolicy(
    policy=Policy(name="none", version="0", fallback=NOT_ASSESSED), sha256="", where="", data=b""
)
"""Of a project without `policy.yaml`: no rules, each model's own thresholds, the mildest without a score."""


def read_policy(path: Path, project: RunningProject) -> DeclaredPolicy:
    """Return the policy of a file about a project's events; `NO_POLICY` where that is its own and not there.

    Raises:
        ConfigError: E_POLICY_FILE, E_CONFIG_YAML (with the line), or as `policy_of`.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> read_policy(logins.policy_path, logins).policy.fallback
    'challenge'
    """
    data = policy_bytes(path, project)
    return NO_POLICY if data is None else policy_of(data, path, project)


def policy_bytes(path: Path, project: RunningProject) -> bytes | None:
    """Return what stands in a policy's file; None where that is the project's own and not there.

    Raises:
        ConfigError: E_POLICY_FILE.
    """
    if path == project.policy_path and project.policy_file is None:
        return None
    try:
        return read_bounded(path)
    except OSError as error:
        raise ConfigError(
            "E_POLICY_FILE", f"cannot be read: {error.strerror}", str(path), "name a policy file"
        ) from error


def policy_of(data: bytes, path: Path, project: RunningProject) -> DeclaredPolicy:
    """Return the policy of a file's bytes; `path` is for messages.

    Raises:
        ConfigError: E_CONFIG_YAML; E_POLICY_FIELD, a part is missing, unknown or of another type;
            E_POLICY_VALUE, a number that is none; E_POLICY_DECISION, one that the project does not have;
            E_POLICY_THRESHOLDS; E_POLICY_FEATURE, a bound on no
            feature, without an end, or that nothing keeps to; E_POLICY_RULE_FORM, a rule of the form before
            expressions; E_POLICY_RULE, a rule or its figures make no sense, or a snooze of no rule;
            E_EXPRESSION_*, its condition makes none;
            E_POLICY_KEY, an override or snooze of nobody, of two, or that can decide nothing; E_POLICY_TIME,
            no time, or one before any event; E_POLICY_TWICE, an id twice.
    """
    document = parse(data, path)
    _refuse_not_finite(document, path)
    _refuse_old_rules(document, path)
    try:
        policy = msgspec.convert(_with_keys(document, project), Policy)
    except msgspec.ValidationError as error:
        raise _refused("E_POLICY_FIELD", str(error), path) from error
    for code, what in _faults(policy, project):
        raise _refused(code, what, path)
    return DeclaredPolicy(policy=policy, sha256=digest(data), where=str(path), data=data)


def _refuse_old_rules(document: Mapping[str, Any], path: Path) -> None:
    """Refuse rules as they were before their conditions stood in the file."""
    rules = document.get("rules")
    for name, terms in rules.items() if isinstance(rules, dict) else ():
        if isinstance(terms, dict) and "severity" in terms and "when" not in terms:
            raise ConfigError(
                "E_POLICY_RULE_FORM",
                f"rules.{name} has no `when`: a rule's condition stands in the file now",
                str(path),
                "write `when`, `reason` and `figures` as docs/policy.md shows",
            )


def _with_keys(document: Mapping[str, Any], project: RunningProject) -> dict[str, Any]:
    """Return the document with the entities that overrides and snoozes name gathered in `keys`."""
    entities = project.pipeline.chain.names
    found = dict(document)
    for part in ("overrides", "snoozes"):
        if isinstance(listed := found.get(part), list):
            found[part] = [_gathered(one, entities) if isinstance(one, dict) else one for one in listed]
    return found


def _gathered(one: Mapping[str, Any], entities: Sequence[str]) -> dict[str, Any]:
    keys = {name: one[name] for name in entities if one.get(name) is not None}
    rest = {name: value for name, value in one.items() if name not in entities}
    return {**rest, "keys": keys} if keys else rest


def _decision_faults(policy: Policy, decisions: Decisions) -> Iterator[tuple[str, str]]:
    """Return what names decisions that the project does not have, or thresholds that are not in order."""
    listed = Decisions.of(Decision(one.name, queue=one.queue, stops=one.stops) for one in policy.decisions)
    if listed.names and listed != decisions:
        yield (
            "E_POLICY_DECISION",
            f"decisions {', '.join(listed.names)} are not the project's {', '.join(decisions.names)}",
        )
    yield from decision_faults("fallback", policy.fallback, decisions.names)
    for one in policy.overrides:
        yield from decision_faults(f"overrides: {one.id!r}", one.decision, decisions.names)
    if isinstance(policy.thresholds, str):
        return
    unknown = [name for name in policy.thresholds if name not in decisions.severer]
    for name in unknown:
        yield from decision_faults("thresholds", name, decisions.severer)
    try:
        policy.own_limits(decisions.names)
    except ValueError as error:
        if not unknown:
            yield "E_POLICY_THRESHOLDS", str(error)


def _faults(policy: Policy, project: RunningProject) -> Iterator[tuple[str, str]]:
    unknown = list(_decision_faults(policy, project.decisions))
    yield from unknown
    keeper, service = policy.gatekeeper, project.service
    if keeper.mode != "disabled" and not keeper.clear:
        yield "E_POLICY_FEATURE", "gatekeeper: nothing says what is clear"
    for name, bound in keeper.clear.items():
        if name not in service.columns:
            yield "E_POLICY_FEATURE", f"gatekeeper.clear: {name!r} is no feature of {service.name}"
        if bound.at_least is None and bound.at_most is None:
            yield "E_POLICY_FEATURE", f"gatekeeper.clear.{name}: needs at_least or at_most"
        elif bound.at_least is not None and bound.at_most is not None and bound.at_least > bound.at_most:
            yield (
                "E_POLICY_FEATURE",
                f"gatekeeper.clear.{name}: nothing is in {bound.at_least} to {bound.at_most}",
            )
    for name, terms in policy.rules.items():
        yield from faults_of(name, terms, project)
    yield from _override_faults(policy, project)
    yield from _snooze_faults(policy, project)


def _override_faults(policy: Policy, project: RunningProject) -> Iterator[tuple[str, str]]:
    yield from _shared_faults("overrides", policy.overrides, project)
    for one in policy.overrides:
        if len(one.keys) != 1:
            yield "E_POLICY_KEY", f"overrides: {one.id!r} needs one of {_entities(project)}"
        yield from _key_faults("overrides", one, project)
    yield from _outvoted(policy.overrides, project)


def _entities(project: RunningProject) -> str:
    return ", ".join(project.pipeline.chain.names)


def _outvoted(overrides: list[Override], project: RunningProject) -> Iterator[tuple[str, str]]:
    """Tell of each override that another on the same key beats for as long as it lasts: it never decides."""
    severity = project.decisions.code
    lasting = [one for one in overrides if not any(True for _ in _time_faults("overrides", one, project))]
    for one, other in permutations(lasting, 2):
        alike = one.keys == other.keys
        severer = severity(other.decision) > severity(one.decision)
        if alike and severer and other.until_ms >= one.until_ms:
            yield (
                "E_POLICY_KEY",
                f"overrides: {one.id!r} never decides, {other.id!r} is severer and lasts as long",
            )


def _snooze_faults(policy: Policy, project: RunningProject) -> Iterator[tuple[str, str]]:
    yield from _shared_faults("snoozes", policy.snoozes, project)
    for one in policy.snoozes:
        if one.rule is None and not one.keys:
            yield "E_POLICY_KEY", f"snoozes: {one.id!r} needs a rule, one of {_entities(project)}, or both"
        yield from _key_faults("snoozes", one, project)
        if one.rule is not None and one.rule not in policy.rules:
            known = nearest(one.rule, tuple(policy.rules))
            yield "E_POLICY_RULE", f"snoozes: {one.id!r} names no rule: {one.rule!r}; {known}"


def _shared_faults(part: str, listed: list[Any], project: RunningProject) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for one in listed:
        if one.id in seen:
            yield "E_POLICY_TWICE", f"{part}: {one.id!r} twice"
        seen.add(one.id)
        for name in ("id", "who", "why"):
            if not getattr(one, name).strip():
                yield "E_POLICY_FIELD", f"{part}: {one.id!r}: {name} is blank"
        yield from _time_faults(part, one, project)


def _time_faults(part: str, one: Override | Snooze, project: RunningProject) -> Iterator[tuple[str, str]]:
    try:
        until_ms = one.until_ms
    except (ValueError, OverflowError) as error:
        yield "E_POLICY_TIME", f"{part}: {one.id!r}: {error}"
        return
    if until_ms <= _field(project, project.event.time).column_bounds[0]:
        yield "E_POLICY_TIME", f"{part}: {one.id!r} ends before any event there can be ({one.until})"


def _field(project: RunningProject, name: str) -> ContractField:
    return project.pipeline.scored.versions[-1].by_name[name]


def _key_faults(part: str, one: Override | Snooze, project: RunningProject) -> Iterator[tuple[str, str]]:
    """Tell of a key that no accepted event can have."""
    for entity, key in one.keys.items():
        link = project.pipeline.chain.named(entity)
        name, alone = link.key, len(link.fields) == 1
        field = _field(project, name) if alone else None
        most = field.high if field is not None and field.type == "string" else None
        if not key.strip():
            yield "E_POLICY_KEY", f"{part}: {one.id!r} matches nobody: {name} is blank"
        elif "\0" in key or (most is not None and len(key.encode()) > most):
            yield "E_POLICY_KEY", f"{part}: {one.id!r} matches nobody: no {name} is like {key[:80]!r}"


def _refuse_not_finite(value: Any, path: Path, at: str = "") -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused("E_POLICY_VALUE", f"{at}: {value} is no figure", path)
    items: Mapping[Any, Any] = (
        value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    )
    for name, inner in items.items():
        _refuse_not_finite(inner, path, f"{at}.{name}".lstrip("."))


def _epoch_ms(text: str) -> int:
    """Return epoch ms of an RFC 3339 time.

    >>> _epoch_ms("1970-01-01T00:00:01Z")
    1000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return round(moment.timestamp() * 1000)


def _refused(code: str, what: str, path: Path) -> ConfigError:
    return ConfigError(code, what, str(path), "correct the file and run `headrace policy check` on it")
