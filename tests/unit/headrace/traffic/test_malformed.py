"""Every malformed record of any project is refused with the code that it says."""

import time
from pathlib import Path
from typing import Any

import pytest

from contracts.raw import RawBatch
from contracts.verdict import refused_of
from features.project.running import running_project
from headrace.traffic.form import Form, forms_of
from headrace.traffic.malformed import malformed_makers, malformed_record
from load.this_project import PIPELINE

LOGINS = forms_of(running_project(Path(__file__).resolve().parents[4] / "examples" / "logins").pipeline)
PAYMENT = {
    "transaction_id": "t1", "event_time": 1_700_000_000_000, "customer_id": "c1", "terminal_id": "m1",
    "amount_minor": 100, "currency": "EUR",
}  # fmt: skip
LOGIN = {
    "login_id": "l1", "at": "2025-01-01T00:00:00Z", "account": {"id": "a1"}, "result": "ok",
    "client": {"ip": "192.0.2.7", "channel": "web"},
}  # fmt: skip


def codes(form: Form, key: bytes | None, value: bytes | None) -> list[str]:
    batch = RawBatch.of([(0, 0, int(time.time() * 1000), key, value, None)])
    return [one.code for one in refused_of(form.source, batch)]


@pytest.mark.parametrize(
    ("form", "row"),
    [(forms_of(PIPELINE)["transactions"], PAYMENT), (LOGINS["logins"], LOGIN)],
    ids=["payments", "logins"],
)
def test_each_is_refused_with_its_code(form: Form, row: dict[str, Any]) -> None:
    makers = malformed_makers(form)
    made = [malformed_record(form, row, number) for number in range(len(makers))]
    assert [codes(form, *record) for record, _ in made] == [[code] for _, code in made]
    assert len(makers) > 20
    assert codes(form, *malformed_record(form, row, 0)[0]) == ["E_DECODE_EMPTY"]
