"""Check conditions and derived features against the names and types that they may use."""

from contracts.errors import ConfigError
from features.declare import WrittenAt
from features.expressions import Schema, Tree, Type, check_filter, infer
from features.project.problems import Problems


def check_condition(tree: Tree, schema: Schema, at: WrittenAt, problems: Problems) -> None:
    """Note what a filter may not hold: unknown names, types that do not fit, what is not exact."""
    if _names_are_known(tree, schema, at, problems):
        try:
            check_filter(tree, schema)
        except ConfigError as error:
            problems.note(at, error.code, f"{error.what}: {error.where}", error.next_step)


def check_formula(name: str, tree: Tree, schema: Schema, at: WrittenAt, problems: Problems) -> Type | None:
    """Return the type of a derived feature, and note what is wrong with it."""
    if not _names_are_known(tree, schema, at, problems, name):
        return None
    try:
        return infer(tree, schema)
    except ConfigError as error:
        problems.note(at, error.code, f"{name}: {error.what}: {error.where}", error.next_step)
        return None


def _names_are_known(tree: Tree, schema: Schema, at: WrittenAt, problems: Problems, of: str = "") -> bool:
    unknown = [name for name in tree.inputs() if name not in schema]
    for name in unknown:
        whose = f"{of}: " if of else ""
        problems.note(
            at,
            "E_EXPRESSION_NAME",
            f"{whose}there is no column {name!r}",
            "name one that is there",
            (name, schema),
        )
    return not unknown
