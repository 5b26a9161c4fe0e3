"""Is this text a LightGBM model that may be handed to LightGBM? Checked here because LightGBM does not.

A damaged text makes LightGBM abort or crash the process, walk a cycle for ever, or score with fewer trees
and say nothing. So the text is read here first, by a parser that knows only what a binary model of plain
numeric and categorical splits may hold, and refuses everything else.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NoReturn

from contracts.errors import ModelError

TREES_MAX = 20_000
LEAVES_MAX = 16_384
_HEADER = frozenset(
    (
        "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
        "average_output", "feature_names", "monotone_constraints", "feature_infos", "tree_sizes",
    )
)  # fmt: skip
_NODE_INTS = ("split_feature", "decision_type", "left_child", "right_child", "internal_count")
_NODE_FLOATS = ("split_gain", "threshold", "internal_value", "internal_weight")
_SCALARS = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_TREE = frozenset((*_NODE_INTS, *_NODE_FLOATS, *_SCALARS, *_LEAVES, "cat_boundaries", "cat_threshold"))
_DECISION_TYPES = (0, 2, 4, 6, 8, 10)  # numeric split; bit 1 default left, bits 2-3 how nulls are seen
_CATEGORICAL = (1, 9)  # bit 0: the threshold is the number of a set of codes
_CATEGORIES = ("cat_boundaries", "cat_threshold")  # where each set begins, and 32 codes a word
_WORDS_MAX = 64  # of one set: codes up to 2047
_NUMBER_CHARACTERS = frozenset("0123456789+-.e infa")
_END = "end of trees\n"

Fields = dict[str, str]


def check_model_text(data: bytes, features: list[str]) -> int:
    """Return the number of trees of a text that LightGBM may load.

    Args:
        data: the file's bytes.
        features: the names of the vector's columns, in order.

    Raises:
        ModelError: E_MODEL_STRUCTURE (what and in which tree) or E_MODEL_FEATURES.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"not UTF-8 at byte {error.start}", "text")
    head, gap, body = text.partition("\n\n")
    if not gap or not head.startswith("tree\n"):
        _refuse("does not begin as a model", "header")
    header = _fields(head[len("tree\n") :], _HEADER, "header")
    _check_header(header)
    _check_features(header, features)
    blocks = list(_blocks(body, _integers(_need(header, "tree_sizes", "header"), "tree_sizes", "header")))
    for number, block in enumerate(blocks):
        _check_tree(block, number, len(features))
    _check_tail(text)
    return len(blocks)


def _refuse(what: str, where: str) -> NoReturn:
    raise ModelError("E_MODEL_STRUCTURE", what, where, "train the model again or promote another version")


def _fields(text: str, known: frozenset[str], where: str) -> Fields:
    fields: Fields = {}
    for line in text.split("\n"):
        if not line:
            continue
        name, equals, value = line.partition("=")
        if name not in known or (not equals and name != "average_output"):
            _refuse(f"unknown line {line[:40]!r}", where)
        if name in fields:
            _refuse(f"{name} stands there twice", where)
        fields[name] = value
    return fields


def _need(fields: Fields, name: str, where: str) -> str:
    if name not in fields:
        _refuse(f"{name} is missing", where)
    return fields[name]


def _plain(text: str, name: str, where: str) -> None:
    """Refuse what Python takes for a blank or a digit and LightGBM does not: it would abort."""
    if not _NUMBER_CHARACTERS.issuperset(text):
        _refuse(f"{name} holds something else than numbers and blanks", where)


def _integers(text: str, name: str, where: str) -> list[int]:
    _plain(text, name, where)
    try:
        return [int(item) for item in text.split()]
    except ValueError:
        _refuse(f"{name} holds something else than integers", where)


def _floats(text: str, name: str, where: str, finite: bool = True) -> list[float]:
    _plain(text, name, where)
    try:
        numbers = [float(item) for item in text.split()]
    except ValueError:
        _refuse(f"{name} holds something else than numbers", where)
    if any(math.isnan(number) or (finite and math.isinf(number)) for number in numbers):
        _refuse(f"{name} holds a number that is not finite", where)
    return numbers


def _check_header(header: Fields) -> None:
    for name, wanted in (("version", "v4"), ("num_class", "1"), ("num_tree_per_iteration", "1")):
        if _need(header, name, "header") != wanted:
            _refuse(f"{name} is {header[name][:20]!r}, not {wanted}", "header")
    if _need(header, "objective", "header") != "binary sigmoid:1":
        _refuse(f"objective is {header['objective'][:40]!r}, not binary sigmoid:1", "header")
    if _need(header, "label_index", "header") != "0" or "average_output" in header:
        _refuse("label_index is not 0, or scores are averaged", "header")


def _check_features(header: Fields, features: list[str]) -> None:
    names = _need(header, "feature_names", "header").split(" ")
    if names != features:
        differ = [f"{a} for {b}" for a, b in zip(names, features, strict=False) if a != b][:1]
        raise ModelError(
            "E_MODEL_FEATURES", f"{len(names)} inputs for {len(features)} columns, or other ones {differ}",
            "model.txt", "train the model with the present feature service",
        )  # fmt: skip
    if _need(header, "max_feature_idx", "header") != str(len(features) - 1):
        _refuse("max_feature_idx is not the number of features less one", "header")
    if len(_need(header, "feature_infos", "header").split(" ")) != len(features):
        _refuse("feature_infos is not one a feature", "header")


def _blocks(body: str, sizes: list[int]) -> Iterator[str]:
    """Yield each tree's text; sizes are in bytes, and a good text is ASCII here."""
    if not 0 < len(sizes) <= TREES_MAX or min(sizes) <= 0:
        _refuse(f"{len(sizes)} trees", "tree_sizes")
    at = 0
    body = body.lstrip("\n")
    for number, size in enumerate(sizes):
        block = body[at : at + size]
        at += size
        if not block.isascii() or not block.startswith(f"Tree={number}\n") or not block.endswith("\n\n"):
            _refuse("is not where tree_sizes says", f"tree {number}")
        yield block.removeprefix(f"Tree={number}\n")
    if not body.startswith(_END, at):
        _refuse("the trees do not end where tree_sizes says", "tree_sizes")


def _check_tree(block: str, number: int, features: int) -> None:
    where = f"tree {number}"
    fields = _fields(block, _TREE, where)
    (leaves,) = _integers(_need(fields, "num_leaves", where), "num_leaves", where) or [0]
    if not 1 <= leaves <= LEAVES_MAX:
        _refuse(f"{leaves} leaves", where)
    if _need(fields, "is_linear", where) != "0":
        _refuse("linear leaves are not served", where)
    _exactly(_floats(_need(fields, "shrinkage", where), "shrinkage", where), 1, "shrinkage", where)
    nodes = leaves - 1
    for name in _NODE_FLOATS:  # a split of nulls from all the rest has the threshold inf
        numbers = _floats(_need(fields, name, where), name, where, finite=name != "threshold")
        _exactly(numbers, nodes, name, where)
    ints = {name: _integers(_need(fields, name, where), name, where) for name in _NODE_INTS}
    for name, integers in ints.items():
        _exactly(integers, nodes, name, where)
    _exactly(_floats(_need(fields, "leaf_value", where), "leaf_value", where), leaves, "leaf_value", where)
    for name in ("leaf_weight", "leaf_count"):
        several = _floats(_need(fields, name, where), name, where)
        if leaves > 1:  # a constant tree may leave them empty
            _exactly(several, leaves, name, where)
    if any(not 0 <= feature < features for feature in ints["split_feature"]):
        _refuse("split_feature out of range", where)
    if any(kind not in (*_DECISION_TYPES, *_CATEGORICAL) for kind in ints["decision_type"]):
        _refuse("decision_type is no numeric and no categorical split", where)
    _check_categories(fields, ints["decision_type"], where)
    _check_shape(ints["left_child"], ints["right_child"], where)


def _check_categories(fields: Fields, kinds: list[int], where: str) -> None:
    """Every categorical split names one of the sets, and the sets lie one behind the other."""
    (count,) = _integers(_need(fields, "num_cat", where), "num_cat", where) or [0]
    if (not count and any(name in fields for name in _CATEGORIES)) or count < 0:
        _refuse("categories where there are none", where)
    thresholds = _floats(fields["threshold"], "threshold", where, finite=False)
    sets = [at for kind, at in zip(kinds, thresholds, strict=True) if kind in _CATEGORICAL]
    if sorted(sets) != list(range(count)):
        _refuse(f"{len(sets)} categorical splits and {count} sets of codes", where)
    if not count:
        return
    bounds = _integers(_need(fields, "cat_boundaries", where), "cat_boundaries", where)
    words = _integers(_need(fields, "cat_threshold", where), "cat_threshold", where)
    _exactly(bounds, count + 1, "cat_boundaries", where)
    steps = [after - before for before, after in pairwise(bounds)]
    if bounds[0] != 0 or bounds[-1] != len(words) or any(not 0 < step <= _WORDS_MAX for step in steps):
        _refuse("cat_boundaries do not fit cat_threshold", where)
    if any(not 0 <= word < 1 << 32 for word in words):
        _refuse("cat_threshold holds no words of 32 bits", where)


def _exactly(items: list[float] | list[int], count: int, name: str, where: str) -> None:
    if len(items) != count:
        _refuse(f"{len(items)} of {name} where {count} are due", where)


def _check_shape(left: list[int], right: list[int], where: str) -> None:
    """Walk from the root: every node and every leaf must be met exactly once, so there is no cycle."""
    nodes, leaves = len(left), len(left) + 1
    if nodes == 0:
        return
    met_nodes, met_leaves, waiting = [False] * nodes, [False] * leaves, [0]
    while waiting:
        child = waiting.pop()
        met, at = (met_nodes, child) if child >= 0 else (met_leaves, -child - 1)
        if at >= len(met):
            _refuse(f"child {child} out of range", where)
        if met[at]:
            _refuse(f"child {child} is reached twice", where)
        met[at] = True
        if child >= 0:
            waiting += (left[at], right[at])
    if not all(met_nodes) or not all(met_leaves):
        _refuse("a part of the tree is not reached", where)


def _check_tail(text: str) -> None:
    """Check what follows the trees: it is not used for scores, but a cut in it means a cut file."""
    tail = text[text.index(_END) :]
    if "\nend of parameters\n" not in tail or not tail.rstrip("\n").endswith("pandas_categorical:null"):
        _refuse("the text ends early, or holds categories", "tail")
