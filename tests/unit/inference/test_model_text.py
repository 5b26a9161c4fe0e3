"""A damaged model text is refused with a code, and never reaches LightGBM."""

import re
from collections.abc import Callable

import pytest

from contracts.errors import ModelError
from inference.models.text import check_model_text
from load.this_project import SERVICE
from tests.unit.inference.support import trained_text

FEATURES = list(SERVICE.columns)
TEXT = trained_text(trees=5, leaves=7)


def _replaced(pattern: str, text: str, times: int = 1) -> str:
    changed, count = re.subn(pattern, text, TEXT, count=times, flags=re.MULTILINE)
    assert count, pattern
    return changed


def _first(name: str, change: Callable[[list[str]], list[str]]) -> str:
    """Return the text with the first tree's list `name` changed, tree_sizes put right."""
    old = re.search(rf"^{name}=(.*)$", TEXT, flags=re.MULTILINE)
    assert old is not None
    new = " ".join(change(old[1].split(" ")))
    grown = len(new) - len(old[1])
    text = TEXT.replace(old[0], f"{name}={new}", 1)
    sizes = re.search(r"^tree_sizes=(.*)$", text, flags=re.MULTILINE)
    assert sizes is not None
    first, *others = sizes[1].split(" ")
    return text.replace(sizes[0], "tree_sizes=" + " ".join([str(int(first) + grown), *others]), 1)


def test_a_good_text_is_taken() -> None:
    assert check_model_text(TEXT.encode(), FEATURES) == 5


def test_a_split_of_nulls_from_all_the_rest_is_taken() -> None:
    assert check_model_text(_first("threshold", lambda t: ["inf", *t[1:]]).encode(), FEATURES) == 5
    with pytest.raises(ModelError):
        check_model_text(_first("threshold", lambda t: ["nan", *t[1:]]).encode(), FEATURES)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("last tree cut", TEXT[: TEXT.index("Tree=4")] + TEXT[TEXT.index("end of trees") :], "tree 4"),
        ("tree sizes gone", _replaced(r"^tree_sizes=.*\n", ""), "tree_sizes is missing"),
        ("one tree less said", _replaced(r"^tree_sizes=(.*) \d+$", r"tree_sizes=\1"), "tree_sizes"),
        ("child out of range", _first("left_child", lambda c: ["99", *c[1:]]), "out of range"),
        ("leaf out of range", _first("right_child", lambda c: ["-99", *c[1:]]), "out of range"),
        ("child cycle", _first("left_child", lambda c: ["0", *c[1:]]), "reached twice"),
        ("part not reached", _first("left_child", lambda c: ["-1"] * len(c)), "reached twice"),
        ("split out of range", _first("split_feature", lambda c: ["999", *c[1:]]), "out of range"),
        ("split negative", _first("split_feature", lambda c: ["-1", *c[1:]]), "out of range"),
        ("leaf nan", _first("leaf_value", lambda c: ["nan", *c[1:]]), "not finite"),
        ("leaf inf", _first("leaf_value", lambda c: ["inf", *c[1:]]), "not finite"),
        ("a leaf less", _first("leaf_value", lambda c: c[1:]), "are due"),
        ("threshold text", _first("threshold", lambda c: ["zero", *c[1:]]), "than numbers"),
        ("categorical split", _first("decision_type", lambda c: ["1", *c[1:]]), "sets of codes"),
        ("a count less", _first("leaf_count", lambda c: c[1:]), "are due"),
        ("huge tree", _first("num_leaves", lambda _: ["99999999"]), "leaves"),
        ("no leaves", _first("num_leaves", lambda _: ["0"]), "leaves"),
        ("linear leaves", _first("is_linear", lambda _: ["1"]), "linear"),
        ("num_class 0", _replaced("^num_class=1", "num_class=0"), "num_class"),
        ("other version", _replaced("^version=v4", "version=v99"), "version"),
        ("other objective", _replaced("^objective=.*", "objective=regression"), "objective"),
        ("unknown line", _replaced("^num_class=1", "num_class=1\nplugin=x"), "unknown line"),
        ("a line twice", _replaced("^num_class=1", "num_class=1\nnum_class=1"), "twice"),
        ("infos cut", _replaced("^feature_infos=[^ ]+ ", "feature_infos="), "feature_infos"),
        ("a blank that is none", _first("threshold", lambda t: [f"{t[0]}\x1f{t[1]}", *t[2:]]), "blanks"),
        ("a digit that is none", _first("left_child", lambda c: ["1_0", *c[1:]]), "blanks"),
        ("a line end that is none", _replaced("^num_class=1", "num_class=1\x0bversion=v4"), "num_class"),
        ("not UTF-8", "\udcff" + TEXT, "UTF-8"),
        ("empty", "", "begin"),
    ],
)  # fmt: skip
def test_each_damage_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(ModelError) as refused:
        check_model_text(text.encode(errors="surrogateescape"), FEATURES)
    assert refused.value.code == "E_MODEL_STRUCTURE"
    assert words in refused.value.what + " " + refused.value.where, name


def test_other_features_and_another_order_are_refused() -> None:
    names = " ".join(FEATURES)
    swapped = " ".join([FEATURES[1], FEATURES[0], *FEATURES[2:]])
    for text in (TEXT.replace(names, swapped), TEXT.replace(names, names + " one_more")):
        with pytest.raises(ModelError) as refused:
            check_model_text(text.encode(), FEATURES)
        assert refused.value.code == "E_MODEL_FEATURES"


def test_every_truncation_is_refused() -> None:
    whole = TEXT.rstrip("\n").encode()
    for kept in range(0, len(whole), max(1, len(whole) // 200)):
        with pytest.raises(ModelError):
            check_model_text(whole[:kept], FEATURES)
