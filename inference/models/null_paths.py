"""A path for nulls at every split, also where training met none.

LightGBM keeps no path for nulls at a split on a feature that was never null in its data, and takes a null for
0 there: a key whose history is not known scores like one that does nothing. Here such a split sends nulls
to the side that most of its training rows went to, as scikit-learn's histogram gradient boosting does. The
score of a row without such a null does not change by a bit. A category is never null: a missing one has a
code.
"""

from collections.abc import Mapping

_CATEGORICAL, _DEFAULT_LEFT, _NULLS_HAVE_A_PATH, _HOW_NULLS_ARE_SEEN = 1, 2, 8, 12  # bits of decision_type


def with_null_paths(text: str) -> str:
    """Return a model's text, as LightGBM wrote it, with a path for nulls at every split."""
    head, _, body = text.partition("\n\n")
    begin, sizes = head.split("tree_sizes=")
    blocks, at = [], body.index("Tree=") if sizes.strip() else 0
    before = body[:at]
    for size in map(int, sizes.split()):
        blocks.append(_with_paths(body[at : at + size]))
        at += size
    lengths = " ".join(str(len(block)) for block in blocks)
    return f"{begin}tree_sizes={lengths}\n\n{before}{''.join(blocks)}{body[at:]}"


def _with_paths(block: str) -> str:
    lines = block.split("\n")
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    if not fields.get("decision_type"):
        return block  # a single leaf
    kinds = " ".join(map(str, _kinds(fields)))
    return "\n".join(
        f"decision_type={kinds}" if line.startswith("decision_type=") else line for line in lines
    )


def _kinds(fields: Mapping[str, str]) -> list[int]:
    kinds, left, right, leaf_count, internal_count = (
        [int(item) for item in fields[name].split()]
        for name in ("decision_type", "left_child", "right_child", "leaf_count", "internal_count")
    )

    def rows(child: int) -> int:
        return internal_count[child] if child >= 0 else leaf_count[-child - 1]

    return [
        kind if kind & (_HOW_NULLS_ARE_SEEN | _CATEGORICAL)
        else _NULLS_HAVE_A_PATH | (_DEFAULT_LEFT if rows(left[at]) >= rows(right[at]) else 0)
        for at, kind in enumerate(kinds)
    ]  # fmt: skip
