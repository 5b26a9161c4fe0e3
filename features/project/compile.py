"""Check a project as a whole: sources and contracts, chain, views, models, names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from contracts.chain import Chain
from contracts.contract_field import is_name
from contracts.contract_file import ReadContract, read_contract
from contracts.contract_version import ContractVersion
from contracts.errors import ConfigError
from contracts.row_columns import MADE, made_columns
from features.declare import DeclaredBatchView, Project, Source, WrittenAt
from features.definition import BatchView, statements_of
from features.project.compiled import CompiledProject, CompiledView
from features.project.contract_versions import older_versions
from features.project.durations import duration_ms
from features.project.formulas import check_condition
from features.project.model_inputs import compile_model
from features.project.problems import Problems
from features.project.schema import schema_of
from features.project.stream_view import compile_view
from features.project.view_fields import ViewContext

Contracts = Mapping[Source, ReadContract]


def compile_project(folder: Path, project: Project) -> CompiledProject:
    """Return a project in full, with every problem of it in the order of files and lines."""
    problems = Problems()
    read = {source: found for source in project.sources if (found := _read(folder, source, problems))}
    contracts = {source: found.version for source, found in read.items() if found.version}
    for source, contract in contracts.items():
        _check_source(source, contract, project, problems)
    _check_chain(project, problems)
    views = tuple(_views(project, read, problems))
    scored = contracts.get(project.scored)
    models = tuple(compile_model(model, project, scored, views, problems) for model in project.models)
    batch_views = {view: _batch_view(folder, view, problems) for view in project.batch_views}
    _check_names(project, views, problems)
    _check_columns(project, contracts, problems)
    _check_money(project, scored, problems)
    return CompiledProject(
        folder=str(folder),
        declared=project,
        contracts=contracts,
        older={
            source: older_versions(folder / source.contract, contract, problems)
            for source, contract in contracts.items()
        },
        views=views,
        batch_views=batch_views,
        models=models,
        problems=tuple(sorted(problems.found)),
    )


def _read(folder: Path, source: Source, problems: Problems) -> ReadContract | None:
    """Return a source's contract; a file that is not there is the declaration's problem, not the file's."""
    path = folder / source.contract
    if not path.is_file():
        there = [str(other.relative_to(folder)) for other in folder.rglob("*.yaml")]
        problems.note(
            source.written,
            "E_DECLARE_CONTRACT",
            f"no contract {source.contract!r} in {folder}",
            "name a file of the project's folder",
            (source.contract, there),
        )
        return None
    found = read_contract(path)
    problems.found += [problem for problem in found.problems if problem not in problems.found]
    return found


def _check_source(source: Source, contract: ContractVersion, project: Project, problems: Problems) -> None:
    for name, text in (("maturity", source.maturity), ("negative_after", source.negative_after)):
        if text:
            _check_duration(source.written, f"{name} of {source.name!r}", text, problems)
    if source.is_labels:
        _check_labels(source, contract, project, problems)
    elif not contract.event_time:
        problems.note(
            source.written,
            "E_DECLARE_TIME",
            f"{source.contract} does not say an event's time",
            "add the custom property eventTime to the contract, with the name of a time field",
        )


def _check_labels(source: Source, contract: ContractVersion, project: Project, problems: Problems) -> None:
    """Note labels that nothing ties to what they label, or that do not say which are positive."""
    if source.labels is not project.scored:
        problems.note(
            source.written,
            "E_DECLARE_LABEL",
            f"{source.name!r} labels a source that is not scored",
            f"write labels= with the scored source, {project.scored.name!r}",
        )
    if not contract.id_fields:
        problems.note(
            source.written,
            "E_DECLARE_LABEL",
            f"{source.contract} does not say which record a label is of",
            "mark the fields that name the record with primaryKey: true",
        )
    if source.positive is None:
        problems.note(
            source.written,
            "E_DECLARE_LABEL",
            f"{source.name!r} does not say which labels are positive",
            'write positive=, as col("outcome") == "takeover"',
        )
    else:
        check_condition(source.positive.tree, schema_of(contract), source.written, problems)
        _check_positive(source, contract, problems)
    if source.known_at and source.known_at not in contract.by_name:
        problems.note(
            source.written,
            "E_DECLARE_FIELD",
            f"known_at: no field {source.known_at!r} in {source.contract}",
            "name a time field of the contract",
            (source.known_at, contract.by_name),
        )


def _check_positive(source: Source, contract: ContractVersion, problems: Problems) -> None:
    """Note a personal field by which labels are told positive: the gate lets none pass as it is."""
    for name in source.positive.tree.inputs() if source.positive is not None else ():
        if name in contract.by_name and contract.by_name[name].personal:
            problems.note(
                source.written,
                "E_DECLARE_PERSONAL",
                f"positive= of {source.name!r} reads {name!r}, which is personal: no stage sees it as it is",
                "say it by another field",
            )


def _check_duration(at: WrittenAt, of: str, text: str, problems: Problems) -> int:
    try:
        return duration_ms(text)
    except ConfigError as error:
        problems.note_error(at, error, of)
        return 0


def _check_chain(project: Project, problems: Problems) -> None:
    """Note entities without views, and views whose entity no record visits."""
    served = {view.entity for view in project.stream_views}
    names = [entity.name for entity in project.chain]
    for entity in project.chain:
        if entity not in served:
            problems.note(
                project.written,
                "E_DECLARE_CHAIN",
                f"the chain's entity {entity.name!r} has no view",
                "give it a view and name the view in a model, or take the entity out of the chain",
            )
    for view in project.all_views:
        if view.entity not in project.chain:
            problems.note(
                view.written,
                "E_DECLARE_CHAIN",
                f"the view {view.name!r} is of {view.entity.name!r}, which is not in the chain",
                "add the entity to the project's chain",
                (view.entity.name, names),
            )


def _views(project: Project, read: Contracts, problems: Problems) -> Iterator[CompiledView]:
    """Yield the views whose contract could be read; what is wrong with the others was noted."""
    for view in project.stream_views:
        found = read.get(view.source)
        if found and found.version:
            context = ViewContext(
                read=found,
                contract=found.version,
                scored=project.scored,
                number=project.sources.index(view.source) + 1,
                problems=problems,
            )
            yield compile_view(view, context)


def _batch_view(folder: Path, view: DeclaredBatchView, problems: Problems) -> BatchView:
    statements: tuple[str, ...] = ()
    try:
        statements = statements_of((folder / view.sql).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        there = [str(path.relative_to(folder)) for path in folder.rglob("*.sql")]
        problems.note(
            view.written,
            "E_DECLARE_SQL",
            f"the view {view.name!r}: {view.sql!r} cannot be read: {error!r:.80}",
            "name an SQL file of the project's folder",
            (view.sql, there),
        )
    _check_duration(view.written, f"schedule of {view.name!r}", view.schedule, problems)
    _check_duration(view.written, f"looks_back of {view.name!r}", view.looks_back, problems)
    max_age_ms = _check_duration(view.written, f"max_age of {view.name!r}", view.max_age, problems)
    return BatchView(
        name=view.name,
        join_key=view.entity.join_key,
        columns=view.columns,
        max_age_ms=max_age_ms,
        statements=statements,
    )


def _check_names(project: Project, views: tuple[CompiledView, ...], problems: Problems) -> None:
    """Note names that no expression can use, and two things of one name."""
    _once("view", [(view.name, view.written) for view in project.all_views], problems)
    _once("entity", [(entity.name, entity.written) for entity in project.chain], problems)
    _once("source", [(source.name, source.written) for source in project.sources], problems)
    _once("model", [(model.name, model.written) for model in project.models], problems)
    _once("project", [(project.name, project.written)], problems)
    features = [(name, each.written) for view in views for each in view.features for name in each.columns]
    features += [(name, view.written) for view in project.batch_views for name in view.columns]
    derived = {(name, model.written) for model in project.models for name, _ in model.derived}
    _once("feature", [*features, *sorted(derived)], problems, "E_FEATURE_NAME")


def _check_columns(project: Project, contracts: Mapping[Source, ContractVersion], problems: Problems) -> None:
    """Note fields that are called as a column that the engine adds: one would be taken for the other."""
    try:
        taken = made_columns(Chain(*((entity.name, entity.fields) for entity in project.chain)))
    except ConfigError:  # a chain that is none, which is noted elsewhere
        taken = MADE
    for contract in contracts.values():
        for field in contract.fields:
            if field.name in taken:
                problems.note(
                    WrittenAt(contract.file, field.line),
                    "E_ODCS_NAME",
                    f"{field.name!r} is a column that the engine adds to every row",
                    "name the field otherwise; its physicalName says where it is in the record",
                )


def _once(
    kind: str, named: list[tuple[str, WrittenAt]], problems: Problems, code: str = "E_DECLARE_NAME"
) -> None:
    seen: dict[str, WrittenAt] = {}
    for name, at in named:
        if not is_name(name):
            problems.note(
                at,
                "E_DECLARE_NAME",
                f"the {kind} {name!r} has no usable name",
                "use letters, digits and _, first no digit, no keyword",
            )
        if name in seen:
            first = (
                f"line {seen[name].line}"
                if seen[name].file == at.file
                else f"{seen[name].file}:{seen[name].line}"
            )
            problems.note(
                at,
                code,
                f"two {kind}s of the name {name!r}: the other stands on {first}",
                "give one of them another name=",
            )
        seen.setdefault(name, at)


def _check_money(project: Project, contract: ContractVersion | None, problems: Problems) -> None:
    if not project.money or contract is None:
        return
    field = contract.by_name.get(project.money)
    if field is None:
        problems.note(
            project.written,
            "E_DECLARE_MONEY",
            f"money: no field {project.money!r} in {contract.file}",
            "name a measure of the scored source",
            (project.money, contract.by_name),
        )
    elif not field.is_measure or not field.currency:
        what = "is no measure" if not field.is_measure else "has no currency"
        problems.note(
            project.written,
            "E_DECLARE_MONEY",
            f"money: {project.money!r} {what} in {contract.file}",
            "give the field a whole or decimal type, and the custom property currencyField",
        )
