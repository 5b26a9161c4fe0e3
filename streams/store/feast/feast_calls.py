"""How Feast calls a function of an on-demand view, which differs in three ways that it does not say.

At `feast apply` the function is called once with samples, to learn what it returns: the columns of the
sources, but no key. Otherwise the keys of the rows are there too. And with `full_feature_names=True` Feast
looks in the result for `view__feature`, and silently leaves out what has the short name; it hands each
stored feature over under both names, the one that was asked for first.
"""

from types import FunctionType
from typing import Any, NamedTuple

Inputs = dict[str, list[Any]]
Outputs = dict[str, list[float]]


def stored_function(name: str, function: str, *arguments: str) -> tuple[FunctionType, str]:
    """Return a function of an on-demand view, which calls one of ours (`module.name`), and its source.

    Feast keeps the source and runs it on its own. So it closes over nothing, and imports what it calls.

    Args:
        arguments: texts that our function is given before Feast's inputs.

    >>> call, source = stored_function("lengths", "builtins.dict")
    >>> source
    'def lengths(inputs):\\n    from builtins import dict\\n\\n    return dict(inputs)\\n'
    >>> call({"a": [1.0]})
    {'a': [1.0]}
    """
    module, _, called = function.rpartition(".")
    given = ", ".join([*map(repr, arguments), "inputs"])
    source = f"def {name}(inputs):\n    from {module} import {called}\n\n    return {called}({given})\n"
    names: dict[str, Any] = {"__name__": "__main__"}  # where Feast looks for such functions
    exec(compile(source, f"<{name}>", "exec"), names)  # noqa: S102  # the text is ours
    return names[name], source


class StoredFeature(NamedTuple):
    """A stored feature that the view is made of: its view, its name, and the key of its rows."""

    view: str
    feature: str
    join_key: str


def is_sample(inputs: Inputs, source: StoredFeature) -> bool:
    """Return whether Feast only wants to learn what the function returns.

    >>> is_sample({"orders__sum": [1.0], "sum": [1.0]}, StoredFeature("orders", "sum", "account_id"))
    True
    """
    return source.join_key not in inputs


def named(outputs: Outputs, view: str, inputs: Inputs, source: StoredFeature | None) -> Outputs:
    """Return the outputs under the names that Feast looks for; as they are where no feature is stored.

    >>> source = StoredFeature("orders", "sum", "account_id")
    >>> asked = {"account_id": ["c1"], "orders__sum": [2.0], "sum": [2.0]}
    >>> named({"ratio": [0.5]}, "context", asked, source)
    {'context__ratio': [0.5]}
    >>> named({"ratio": [0.5]}, "context", {"account_id": ["c1"], "sum": [2.0], "orders__sum": [2.0]}, source)
    {'ratio': [0.5]}
    """
    if source is None:
        return outputs
    names = list(inputs)
    in_full = f"{source.view}__{source.feature}"
    if is_sample(inputs, source) or in_full not in inputs:
        return outputs
    if names.index(in_full) > names.index(source.feature):
        return outputs
    return {f"{view}__{name}": values for name, values in outputs.items()}
