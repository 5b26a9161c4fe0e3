"""The tripwire against its definition: pairs of a label and a later payment of the same terminal."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.offline.verify.label_order import labels_early

ROWS = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 9)), max_size=25)


@given(rows=ROWS)
def test_a_label_is_early_when_an_older_payment_comes_after_it(rows: list[tuple[int, bool, int]]) -> None:
    slow = sum(
        is_label and any(t == terminal and not other and ms < time for t, other, ms in rows[at + 1 :])
        for at, (terminal, is_label, time) in enumerate(rows)
    )
    fast = labels_early(
        np.array([f"m{row[0]}".encode() for row in rows], np.bytes_),
        np.arange(len(rows)),
        np.array([-1 if row[1] else row[2] for row in rows], np.int64),
        np.array([row[2] if row[1] else -1 for row in rows], np.int64),
    )
    assert fast == slow
