"""How events are named: ids of several fields or none, keys that are missing or of several fields."""

import numpy as np

from contracts.chain import Chain
from contracts.event_identity import EventIdentity, identity_in
from contracts.frame import Columns
from load.this_project import PIPELINE

ROWS: Columns = {
    "raw_partition": np.array([2, 3], np.int32), "raw_offset": np.array([7, 8]),
    "shop": np.array([b"s1", b"s2"]), "till": np.array([5, -(1 << 63)]), "order": np.array([11, 12]),
    "user": np.array([b"", "ü".encode()]), "part": np.array([b"a", b"b"]),
}  # fmt: skip
TILLS = Chain(("till", ("shop", "till")), ("user", "user"))


def test_payments_are_named_by_their_own_id_and_told_apart_by_both_keys() -> None:
    named = identity_in(PIPELINE)
    assert named.fields == ("transaction_id",)
    assert named.compared == ("transaction_id", "customer_id", "terminal_id")
    assert named.columns == ("event_id", "key_customer", "key_terminal")


def test_an_id_of_several_fields_is_joined_and_whole_numbers_are_digits() -> None:
    named = EventIdentity(("order", "part", "user"), TILLS)
    assert named.ids_of(ROWS).tolist() == [b"11/a", b"12/b"]
    assert EventIdentity(("user",), TILLS).ids_of(ROWS).tolist() == [b"", "ü".encode()]


def test_without_an_id_the_place_in_the_log_is_it() -> None:
    assert EventIdentity((), TILLS).ids_of(ROWS).tolist() == [b"2-7", b"3-8"]


def test_a_key_is_null_where_a_part_is_and_its_parts_cannot_be_mistaken() -> None:
    named = EventIdentity(("order",), TILLS)
    assert named.document(ROWS, 0) == {"event_id": "11", "keys": {"till": "2:s11:5", "user": None}}
    assert named.document(ROWS, 1) == {"event_id": "12", "keys": {"till": None, "user": "ü"}}


def test_what_was_said_compares_with_the_rows_it_was_said_of() -> None:
    for told_apart in (None, frozenset({"user"}), frozenset[str]()):
        named = EventIdentity(("order", "part"), TILLS, told_apart)
        of_rows = list(zip(*(column.tolist() for column in named.identity_of(ROWS)), strict=True))
        for row, found in enumerate(of_rows):
            said = named.document(ROWS, row)
            assert tuple(text.encode() for text in named.said(said)) == found
            one = {name: ROWS[name][row].item() for name in named.compared}
            texts = {name: v.decode() if isinstance(v, bytes) else v for name, v in one.items()}
            assert named.of(texts) == named.said(said)


def test_a_decision_goes_by_the_first_key_and_without_one_by_its_id() -> None:
    named = EventIdentity(("order",), TILLS)
    assert named.record_key(ROWS).tolist() == [b"2:s11:5", b"12"]
    assert [named.record_key_said(named.document(ROWS, row)) for row in (0, 1)] == ["2:s11:5", "12"]
