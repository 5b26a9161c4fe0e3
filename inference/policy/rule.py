"""One rule of a policy file: its condition over features and event fields, its figures, what a hit asks for.

The condition is an expression (docs/expressions.md). Figures are its numbers by name, put in before anything
else looks at it. A rule hits where its condition is true; where it is null it does not.
"""

import re
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec

from contracts.errors import ConfigError
from features.expressions import Schema, Tree, infer, number, parse, substitute, tree_of
from features.expressions.parse import TEXT_CHARS_MAX, nearest
from features.expressions.tree import limits
from features.project.running import RunningProject
from features.project.schema import schema_of
from inference.policy.part import Name, Part

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
Fault = tuple[str, str]


class RuleTerms(Part, frozen=True, kw_only=True):
    """A rule as it is written down.

    Args:
        when: the condition.
        severity: the decision that a hit asks for.
        reason: the sentence that a hit says; the value of `feature` is put behind it.
        figures: numbers and texts that the condition names.
        feature: whose value the reason shows; needed where the condition reads several features.
        enabled: whether it is asked. version: grows when what the rule does changes.
    """

    when: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARS_MAX)]
    severity: Name
    reason: Annotated[str, msgspec.Meta(min_length=2, max_length=300)]
    figures: dict[Name, int | float | str] = msgspec.field(default_factory=dict)
    feature: str = ""
    enabled: bool = True
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "1"


class Rule(NamedTuple):
    """One rule, ready to be asked: its condition has its figures in it.

    `severity` is the code of the decision that a hit asks for; `feature` the one whose value a reason shows,
    empty for none.

    >>> Rule("limit", "1", 1, "amount", parse("amount > 5 and share >= 0.5"), "").figures
    (('amount', 5.0), ('share', 0.5))
    """

    id: str
    version: str
    severity: int
    feature: str
    condition: Tree
    text: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the condition reads, sorted."""
        return self.condition.inputs()

    @property
    def figures(self) -> tuple[tuple[str, float], ...]:
        """The values of single inputs at which the answer may turn."""
        return limits(self.condition)


def numbers_of(project: RunningProject) -> tuple[str, ...]:
    """Return the features that conditions read from the vector: a category is read as the text it is."""
    return tuple(name for name in project.service.columns if name not in project.service.categories)


def schema_for(project: RunningProject) -> Schema:
    """Return what a condition may name: features of the vector, and fields of the event."""
    leaving = set(project.pipeline.scored.names)
    fields = {name: kind for name, kind in schema_of(project.scored_contract).items() if name in leaving}
    return fields | dict.fromkeys(numbers_of(project), number())


def rule_of(name: str, terms: RuleTerms, project: RunningProject) -> Rule:
    """Return a rule of a project's policy.

    Raises:
        ConfigError: E_EXPRESSION_SYNTAX, the condition cannot be read.
    """
    columns = numbers_of(project)
    figures = {figure: tree_of(value) for figure, value in terms.figures.items()}
    condition = substitute(parse(terms.when), figures)
    features = [each for each in condition.inputs() if each in columns]
    feature = terms.feature or (features[0] if len(features) == 1 else "")
    return Rule(name, terms.version, project.decisions.code(terms.severity), feature, condition, terms.reason)


def decision_faults(place: str, name: str, known: tuple[str, ...]) -> Iterator[Fault]:
    """Return that a decision is none of those that may stand there."""
    if name not in known:
        yield "E_POLICY_DECISION", f"{place}: there is no decision {name!r} there; {nearest(name, known)}"


def faults_of(name: str, terms: RuleTerms, project: RunningProject) -> Iterator[Fault]:
    """Return what is wrong with a rule: a code and a sentence each."""
    place, schema, columns = f"rules.{name}", schema_for(project), numbers_of(project)
    if not _ID.fullmatch(name):
        yield "E_POLICY_RULE", f"{place}: an id is made of a-z, 0-9 and _, at most 64 of them"
    unknown = list(decision_faults(f"{place}.severity", terms.severity, project.decisions.severer))
    if unknown:
        yield from unknown
        return
    try:
        rule, named = rule_of(name, terms, project), parse(terms.when).inputs()
        found = infer(rule.condition, schema, terms.when)
    except ConfigError as error:
        yield error.code, f"{place}.when: {error.what}, {error.where}; {error.next_step}"
        return
    if found.kind != "bool":
        yield "E_EXPRESSION_TYPE", f"{place}.when: {found.words} is no condition; compare it with a figure"
    for figure in terms.figures:
        if figure in schema:
            yield "E_POLICY_RULE", f"{place}.figures: {figure!r} is a feature's name; rename the figure"
        elif figure not in named:
            yield "E_POLICY_RULE", f"{place}.figures: the condition does not name {figure!r}"
    if terms.feature and terms.feature not in columns:
        advice = nearest(terms.feature, columns)
        yield "E_POLICY_FEATURE", f"{place}.feature: there is no {terms.feature!r}; {advice}"
    elif not rule.feature and any(each in columns for each in rule.inputs):
        yield "E_POLICY_FEATURE", f"{place}: say whose value the reason shows: feature: {rule.inputs[0]}"
