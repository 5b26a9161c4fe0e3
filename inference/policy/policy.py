"""The decision policy as people write it down: its parts, how a file is read, and what is refused.

Nothing decides here; `policy_engine` puts a policy to work. The digest of the file's bytes is what every
prediction names.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from contracts.errors import ConfigError
from contracts.yaml_file import parse
from features.catalog import SERVICE
from inference.models.manifest import Thresholds, digest

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Number = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Decision = Literal["approve", "review", "decline"]

L = TypeVar("L")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file; a key that means nothing is refused."""


class RuleTerms(Part, frozen=True, kw_only=True):
    """What every rule has: whether it is asked, and what a hit asks for."""

    enabled: bool
    severity: Literal["review", "decline"]


class AmountLimit(RuleTerms, frozen=True, kw_only=True):
    """The amount above which a payment hits."""

    amount_minor: Number


class CustomerVelocity(RuleTerms, frozen=True, kw_only=True):
    """The payments of a customer within an hour above which one hits."""

    payments_1h: Number


class AmountJump(RuleTerms, frozen=True, kw_only=True):
    """How many times the usual amount, and how much at least, a payment must exceed to hit."""

    amount_times_usual: float
    amount_usual_minor: Number


class TerminalFrauds(RuleTerms, frozen=True, kw_only=True):
    """The share of frauds among a terminal's labels of 7 days, and how many labels, that hit."""

    terminal_fraud_ratio_7d: Share
    terminal_labels_7d: Number


class Rules(Part, frozen=True, kw_only=True):
    """Every rule of the code, by id."""

    amount_limit: AmountLimit
    customer_velocity: CustomerVelocity
    amount_jump: AmountJump
    terminal_frauds: TerminalFrauds

    def figures(self) -> dict[str, float]:
        """Return every figure by its name, without `enabled` and `severity`."""
        found: dict[str, float] = {}
        for terms in msgspec.structs.asdict(self).values():
            figures = msgspec.structs.asdict(terms)
            found |= {name: figures[name] for name in figures if name not in RuleTerms.__struct_fields__}
        return found


class Bound(Part, frozen=True, kw_only=True):
    """The values of one feature that are clear; a null is never."""

    at_least: float | None = None
    at_most: float | None = None


class GatekeeperTerms(Part, frozen=True, kw_only=True):
    """The first tier: off, clearing what is proven, or clearing what is declared."""

    mode: Literal["disabled", "proven", "declared"]
    clear: dict[str, Bound]


class ScoreLimits(Part, frozen=True, kw_only=True):
    """Scores from which a payment is reviewed and declined."""

    review: Share
    decline: Share


class ReasonTerms(Part, frozen=True, kw_only=True):
    """How many contributions a reason list names, and how many rows of a batch get any."""

    a_row: Number
    rows_max: Number


class ReviewTerms(Part, frozen=True, kw_only=True):
    """What people can do in a day, and what a look, a wrong decline and a lost fraud cost.

    `loss_share` is the part of a fraud's amount that is lost when it is approved.
    """

    cards_a_day: Number
    review_cost_minor: Number
    decline_cost_minor: Number
    loss_share: Share


class UncertainTerms(Part, frozen=True, kw_only=True):
    """Scores within `margin` of the review threshold, at most `a_day` an event-time day."""

    a_day: Number
    margin: Share


class RandomTerms(Part, frozen=True, kw_only=True):
    """A slice drawn by hash, at most `a_day` an event-time day."""

    a_day: Number
    share: Share


class SampleTerms(Part, frozen=True, kw_only=True):
    """What joins the review queue to be learned from."""

    uncertain: UncertainTerms
    random: RandomTerms


class Override(Part, frozen=True, kw_only=True):
    """A person's decision on a customer's or a terminal's payments with an event time before `until`."""

    id: Name
    decision: Decision
    until: str
    who: Name
    why: Name
    customer: str | None = None
    terminal: str | None = None

    @property
    def until_ms(self) -> int:
        """Epoch ms of `until`."""
        return _epoch_ms(self.until)


class Snooze(Part, frozen=True, kw_only=True):
    """A rule, or a customer's reviews, that are muted for payments with an event time before `until`."""

    id: Name
    until: str
    who: Name
    why: Name
    rule: str | None = None
    customer: str | None = None

    @property
    def until_ms(self) -> int:
        """Epoch ms of `until`."""
        return _epoch_ms(self.until)


class Policy(Part, frozen=True, kw_only=True):
    """Everything that decides beside the model."""

    name: Name
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    gatekeeper: GatekeeperTerms
    rules: Rules
    thresholds: Literal["model"] | ScoreLimits
    fallback: Decision
    reasons: ReasonTerms
    review: ReviewTerms
    sample: SampleTerms
    overrides: list[Override]
    snoozes: list[Snooze]

    def thresholds_over(self, model: L) -> L | Thresholds:
        """Return the thresholds in force over scores whose model has these, one or (n,) by row."""
        if self.thresholds == "model":
            return model
        return Thresholds(review=self.thresholds.review, decline=self.thresholds.decline)


class DeclaredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and the file it was read from; `sha256` is the digest of `data`, the file's bytes."""

    policy: Policy
    sha256: str
    where: str
    data: bytes


def read_policy(path: Path) -> DeclaredPolicy:
    """Return the policy of a file.

    Raises:
        ConfigError: E_POLICY_FILE, E_CONFIG_YAML (with the line), or as `policy_of`.

    >>> from inference.policy import DEFAULT
    >>> read_policy(DEFAULT).policy.thresholds
    'model'
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "E_POLICY_FILE", f"cannot be read: {error.strerror}", str(path), "name a policy file"
        ) from error
    return policy_of(data, path)


def policy_of(data: bytes, path: Path) -> DeclaredPolicy:
    """Return the policy of a file's bytes; `path` is for messages.

    Raises:
        ConfigError: E_CONFIG_YAML; E_POLICY_FIELD, a part is missing, unknown or of another type;
            E_POLICY_VALUE, a number that is none; E_POLICY_THRESHOLDS; E_POLICY_FEATURE, a bound on no
            feature, or without an end; E_POLICY_RULE, a snooze of no rule; E_POLICY_KEY, an override or
            snooze of nobody, or of two; E_POLICY_TIME; E_POLICY_TWICE, an id twice.
    """
    document = parse(data, path)
    _refuse_not_finite(document, path)
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise _refused("E_POLICY_FIELD", str(error), path) from error
    for code, what in _faults(policy):
        raise _refused(code, what, path)
    return DeclaredPolicy(policy=policy, sha256=digest(data), where=str(path), data=data)


def _faults(policy: Policy) -> Iterator[tuple[str, str]]:
    limits = policy.thresholds
    if limits != "model" and limits.review > limits.decline:
        yield "E_POLICY_THRESHOLDS", f"review {limits.review} is above decline {limits.decline}"
    keeper = policy.gatekeeper
    if keeper.mode != "disabled" and not keeper.clear:
        yield "E_POLICY_FEATURE", "gatekeeper: nothing says what is clear"
    for name, bound in keeper.clear.items():
        if name not in SERVICE.columns:
            yield "E_POLICY_FEATURE", f"gatekeeper.clear: {name!r} is no feature of {SERVICE.name}"
        if bound.at_least is None and bound.at_most is None:
            yield "E_POLICY_FEATURE", f"gatekeeper.clear.{name}: needs at_least or at_most"
    yield from _override_faults(policy)
    yield from _snooze_faults(policy)


def _override_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    yield from _shared_faults("overrides", policy.overrides)
    for one in policy.overrides:
        if (one.customer is None) == (one.terminal is None):
            yield "E_POLICY_KEY", f"overrides: {one.id!r} needs a customer or a terminal, not both"


def _snooze_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    yield from _shared_faults("snoozes", policy.snoozes)
    for one in policy.snoozes:
        if one.rule is None and one.customer is None:
            yield "E_POLICY_KEY", f"snoozes: {one.id!r} needs a rule, a customer or both"
        if one.rule is not None and one.rule not in Rules.__struct_fields__:
            known = ", ".join(Rules.__struct_fields__)
            yield "E_POLICY_RULE", f"snoozes: {one.id!r} names no rule: {one.rule!r}; there are {known}"


def _shared_faults(part: str, listed: list[Any]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for one in listed:
        if one.id in seen:
            yield "E_POLICY_TWICE", f"{part}: {one.id!r} twice"
        seen.add(one.id)
        try:
            _epoch_ms(one.until)
        except ValueError as error:
            yield "E_POLICY_TIME", f"{part}: {one.id!r}: {error}"


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
    return ConfigError(code, what, str(path), "mend the file and run `headrace policy check` on it")
