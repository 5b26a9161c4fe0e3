"""Check a project's `policy.yaml` against its decisions and features: names, conditions, reason texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.problem import Problem
from contracts.yaml_part import Document, YamlPart, read_document
from features.expressions import Schema, infer, number, parse, substitute, tree_of
from features.project.compiled import CompiledProject
from features.project.model_inputs import event_schema

FILE = "policy.yaml"
UNKNOWN, DECISION = "E_POLICY_FEATURE", "E_POLICY_DECISION"


def check_policy(folder: Path, project: CompiledProject) -> tuple[Problem, ...]:
    """Return what is wrong in a project's policy; a project without the file has none.

    Codes: E_CONFIG_YAML, E_POLICY_FIELD (a part missing or of another shape), E_POLICY_FEATURE (a name that
    is no feature of the project and no field of the event), E_POLICY_DECISION, E_EXPRESSION_*.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    document = read_document(path, "E_POLICY_FIELD")
    if isinstance(document, Problem):
        return (document,)
    _Check(document, project).run()
    return tuple(sorted(document.problems))


class _Check:
    """One policy, the names that it may use, and the decisions that there are."""

    def __init__(self, document: Document, project: CompiledProject) -> None:
        self._top = document.top
        self._stored = project.feature_names
        self._schema = _schema(project)
        self._decisions = self._known_decisions(project)

    def run(self) -> None:
        """Note every problem."""
        rules = self._top.mapping("rules")
        for name in rules.value:
            rule = rules.at(name)
            if rule.is_mapping:
                self._rule(rule)
            else:
                rule.wrong(
                    "E_POLICY_FIELD", f"the rule {name!r} is {rule.value!r:.60}", "write a mapping there"
                )
        clear = self._top.mapping("gatekeeper").mapping("clear")
        for name in clear.value:
            self._feature(clear.at(name), name, self._stored)
        self._thresholds()
        if self._top.has("fallback"):
            self._decision(self._top, "fallback")

    def _known_decisions(self, project: CompiledProject) -> tuple[str, ...]:
        """Return the decisions of the policy, or else of the project; both may not differ."""
        declared = tuple(each.name for each in project.declared.decisions) if project.declared else ()
        listed = tuple(part.text("name") for part in self._top.parts("decisions", optional=True))
        if listed and declared and listed != declared:
            self._top.at("decisions").wrong(
                DECISION,
                f"decisions {', '.join(listed)}, and features.py declares {', '.join(declared)}",
                "declare them in one place",
            )
        return listed or declared

    def _rule(self, rule: YamlPart) -> None:
        written = rule.text("when")
        self._decision(rule, "severity")
        figures = rule.mapping("figures").value
        if written:
            self._condition(rule.at("when"), written, figures)
        feature = rule.text("feature", "")
        if feature:
            self._feature(rule.at("feature"), feature, self._stored)

    def _condition(self, part: YamlPart, written: str, figures: Mapping[str, Any]) -> None:
        """Note a condition that cannot be read, names what is not there, or is none."""
        try:
            numbers = {name: tree_of(value) for name, value in figures.items()}
            tree = substitute(parse(written), numbers)
            unknown = [name for name in tree.inputs() if name not in self._schema]
            for name in unknown:
                self._feature(part, name, self._schema)
            kind = None if unknown else infer(tree, self._schema, written)
        except ConfigError as error:
            part.wrong(error.code, f"{error.what}: {error.where}", error.next_step)
            return
        if kind is not None and kind.kind != "bool":
            what = f"{kind.words} where a condition is needed: {written!r:.80}"
            part.wrong("E_EXPRESSION_TYPE", what, "compare it with a figure")

    def _feature(self, part: YamlPart, name: str, known: Schema | frozenset[str]) -> None:
        if name not in known:
            remedy = "name a feature or a field of the event"
            part.wrong(UNKNOWN, f"{name!r} is no feature of the project", remedy, (name, known))

    def _thresholds(self) -> None:
        if isinstance(self._top.value.get("thresholds"), Mapping) and self._decisions:
            thresholds = self._top.mapping("thresholds")
            for name in thresholds.value:
                self._named_decision(thresholds.at(name), name)

    def _decision(self, part: YamlPart, key: str) -> None:
        name = part.text(key)
        if name:
            self._named_decision(part.at(key), name)

    def _named_decision(self, part: YamlPart, name: str) -> None:
        if name not in self._decisions:
            there = ", ".join(self._decisions) or "none is declared"
            part.wrong(
                DECISION, f"there is no decision {name!r}", f"choose one of: {there}", (name, self._decisions)
            )


def _schema(project: CompiledProject) -> Schema:
    """Return what rules may use: fields of the event, and every feature."""
    contract = project.contracts.get(project.declared.scored) if project.declared else None
    stored = {name: number() for name in project.feature_names}
    return {**stored, **(event_schema(contract) if contract else {})}
