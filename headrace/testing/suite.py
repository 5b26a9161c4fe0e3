"""The tests of a project's folder as they are written in `tests/*.yaml`, and all that is wrong in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import ConfigError
from contracts.problem import Problem
from contracts.yaml_part import Document, YamlPart, read_document
from features.project.running import RunningProject
from headrace.testing.delivery import values_of_source
from headrace.testing.expected import OUTCOMES, Expectation, about_expected
from headrace.testing.written import WrittenRecord, moment_of, written_record
from headrace.traffic.form import Form, forms_of
from inference.policy.policy import read_policy

FOLDER = "tests"
PATTERNS = ("*.yaml", "*.yml")
_FILE = ("about", "defaults", "tests")
_TEST = ("about", "defaults", "thresholds", "records")
_BESIDE = ("key", "delivered", "batch", "score", "expect")


@dataclass(frozen=True, kw_only=True)
class WrittenTest:
    """Records in the order of delivery, and what is expected at some of them.

    Args:
        id: the file's name without its ending, a slash, the test's name.
        thresholds: from which scores each decision holds; None: the policy's own.
        expectations: by the place of a record.
    """

    id: str
    file: str
    line: int
    records: list[WrittenRecord]
    expectations: Mapping[int, Sequence[Expectation]]
    thresholds: Mapping[str, float] | None = None


@dataclass
class Suite:
    """A project's tests, and the problems of the files that hold them."""

    tests: list[WrittenTest] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_suite(project: RunningProject) -> Suite:
    """Return the tests that a project's folder holds as YAML, by file and in the file's order."""
    suite, forms = Suite(), forms_of(project.pipeline)
    folder = project.folder / FOLDER
    for path in sorted(path for pattern in PATTERNS for path in folder.glob(pattern)):
        document = read_document(path, "E_TEST_FILE")
        if isinstance(document, Problem):
            suite.problems.append(document)
            continue
        suite.tests += _Reader(project, forms, document).tests(path.stem)
        suite.problems += document.problems
    return suite


class _Reader:
    """Reads one file; what is wrong is noted in its document."""

    def __init__(self, project: RunningProject, forms: Mapping[str, Form], document: Document) -> None:
        self._project, self._forms, self._document = project, forms, document
        self._decisions = project.decisions.names
        policy = read_policy(project.policy_path, project).policy
        self._by_model = policy.own_limits(self._decisions) is None  # whose thresholds hold
        self._sources = {name: form for form in forms.values() for name in (form.name, form.source.topic)}

    def tests(self, stem: str) -> Iterator[WrittenTest]:
        top = self._document.top
        self._known(top, _FILE)
        defaults = self._defaults(top, {})
        tests = top.mapping("tests")
        if not tests.value:
            top.wrong("E_TEST_FILE", "the file has no tests", "write `tests:` with one entry a test")
        for name in tests.value:
            part = tests.at(name)
            if part.is_mapping:
                yield self._test(f"{stem}/{name}", part, defaults)
            else:
                part.wrong("E_TEST_FILE", f"the test {name!r} is no mapping", "give it `records:`")

    def _test(self, name: str, part: YamlPart, defaults: Mapping[str, Mapping[str, Any]]) -> WrittenTest:
        self._known(part, _TEST)
        defaults = self._defaults(part, defaults)
        records, expectations = list[WrittenRecord](), dict[int, Sequence[Expectation]]()
        for row in part.parts("records"):
            found = self._record(row, defaults)
            if row.has("score") and self._by_model and not part.has("thresholds"):
                row.at("score").wrong(
                    "E_TEST_FILE", "the policy leaves the thresholds to the model, and no model runs here",
                    "give the test `thresholds:`",
                )  # fmt: skip
            if found is not None:
                if row.has("expect"):
                    expectations[len(records)] = list(self._expected(row.mapping("expect"), found.form))
                records.append(found)
        if not any(expectations.values()) and not self._document.problems:
            part.wrong("E_TEST_FILE", f"{name} expects nothing", "write `expect:` beside a record")
        return WrittenTest(
            id=name, file=self._document.file, line=part.line, records=records, expectations=expectations,
            thresholds=self._thresholds(part),
        )  # fmt: skip

    def _defaults(
        self, part: YamlPart, outer: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, Any]]:
        found, given = dict(outer), part.mapping("defaults")
        for name in given.value:
            fields = given.at(name)
            form = self._form(fields, name)
            if form is not None and not fields.is_mapping:
                fields.wrong("E_TEST_FILE", f"the defaults of {name} are no mapping", "write fields by name")
            elif form is not None:
                found[form.name] = {**outer.get(form.name, {}), **fields.value}
        return found

    def _thresholds(self, part: YamlPart) -> Mapping[str, float] | None:
        if not part.has("thresholds"):
            return None
        given, found = part.mapping("thresholds"), {}
        for name in given.value:
            if name not in self._decisions[1:]:
                given.at(name).wrong(
                    "E_TEST_FILE", f"no decision {name!r} has a threshold",
                    f"name one of {', '.join(self._decisions[1:])}", (name, self._decisions[1:]),
                )  # fmt: skip
            else:
                found[name] = self._number(given, name)
        return found

    def _record(self, row: YamlPart, defaults: Mapping[str, Mapping[str, Any]]) -> WrittenRecord | None:
        named = [name for name in row.value if name not in _BESIDE]
        if len(named) != 1:
            what = f"a record is of {len(named)} sources" if named else "a record names no source"
            row.wrong("E_TEST_FILE", what, f"write it as one of {', '.join(self._forms)}: its fields")
            return None
        form = self._form(row.at(named[0]), named[0])
        if form is None:
            return None
        given = row.at(named[0]).value
        if given is not None and not isinstance(given, dict | str):
            row.wrong(
                "E_TEST_FILE", f"a record of {form.name} is {given!r:.40}", "write its fields, or a text"
            )
            return None
        whole = given if isinstance(given, str) else {**defaults.get(form.name, {}), **(given or {})}
        try:
            return written_record(form, whole, **self._beside(row, form))
        except ConfigError as error:
            row.wrong(error.code, error.what, error.next_step)
            return None

    def _beside(self, row: YamlPart, form: Form) -> dict[str, Any]:
        beside: dict[str, Any] = {}
        if row.has("key"):
            beside["key"] = row.text("key").encode()
        if row.has("delivered"):
            beside["delivered_ms"] = moment_of(row.text("delivered"))
        if row.has("score"):
            beside["score"] = self._number(row, "score")
        if row.has("batch"):
            beside["batch"] = dict(self._batch(row.mapping("batch")))
        if not form.source.is_scored:
            for name in beside.keys() & {"score", "batch"}:
                row.at(name).wrong("E_TEST_FILE", f"records of {form.name} have no {name}", "leave it out")
        return beside

    def _batch(self, given: YamlPart) -> Iterator[tuple[str, float]]:
        columns = self._project.profile.columns
        for name in given.value:
            if name in columns:
                yield name, self._number(given, name)
            else:
                given.at(name).wrong(
                    "E_TEST_FEATURE", f"no batch feature {name!r}", "name a column of a batch view",
                    (name, columns),
                )  # fmt: skip

    def _expected(self, given: YamlPart, form: Form) -> Iterator[Expectation]:
        known = values_of_source(self._project, form.source)
        for name in given.value:
            part = given.at(name)
            if name in OUTCOMES:
                wrong = about_expected(name, part.value, form, self._project)
            elif name not in known:
                wrong = (f"records of {form.name} have no value {name!r}", "name a feature", (name, known))
                part.wrong("E_TEST_FEATURE", *wrong)
                continue
            else:
                wrong = about_expected("", part.value, form, self._project)
            if wrong is not None:
                part.wrong("E_TEST_FILE", *wrong)
            else:
                yield Expectation(file=self._document.file, line=part.line, name=name, value=part.value)

    def _form(self, part: YamlPart, name: str) -> Form | None:
        form = self._sources.get(name)
        if form is None:
            part.wrong(
                "E_TEST_SOURCE", f"the project has no source {name!r}",
                f"name one of {', '.join(self._forms)}", (name, (*self._sources, *_BESIDE)),
            )  # fmt: skip
        return form

    def _number(self, part: YamlPart, name: str) -> float:
        value = part.value[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        part.at(name).wrong("E_TEST_FILE", f"{name} is {value!r:.40}", "write a number")
        return 0.0

    def _known(self, part: YamlPart, names: Sequence[str]) -> None:
        for name in part.value:
            if name not in names:
                part.at(name).wrong(
                    "E_TEST_FILE",
                    f"no part is called {name!r}",
                    f"parts are {', '.join(names)}",
                    (name, names),
                )
