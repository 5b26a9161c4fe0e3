"""Sending a file: nothing counts as sent that Kafka did not acknowledge, and files that cannot be sent."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError
from headrace.traffic import sending
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import open_records
from headrace.traffic.sending import Pace, Sending, refuse_unreachable
from load.this_project import PIPELINE

FORMS = forms_of(PIPELINE)
NOBODY = KafkaConnection(bootstrap_servers="127.0.0.1:1")


def payments(folder: Path, **columns: pa.Array) -> Path:
    table = pa.table(
        {"transaction_id": ["t1", "t2"], "customer_id": ["c1", "c2"], "event_time": [5, 6]} | columns
    )
    pq.write_table(table, folder / "payments.parquet")
    return folder / "payments.parquet"


def test_a_kafka_that_is_silent_is_told_and_given_up_with_true_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SILENCE_S", 0.2)
    monkeypatch.setattr(sending, "GIVE_UP_S", 0.6)
    heard: list[str] = []
    trying = Sending(NOBODY, "", {FORMS["transactions"]: payments(tmp_path)}, Pace(), heard.append)
    with pytest.raises(ClusterError, match=r"E_PRODUCE_SILENT.*0 records are in the log, 2 may"):
        trying.run()
    assert (trying.counts["transactions"], trying.counts["acknowledged"]) == (2, 0)
    assert len(heard) == 1
    assert "0 records are in the log, 2 wait" in heard[0]


def test_nothing_is_begun_where_kafka_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_S", 0.5)
    with pytest.raises(ClusterError, match="E_KAFKA_UNREACHABLE"):
        refuse_unreachable(NOBODY, "", PIPELINE)


def test_categories_are_text(tmp_path: Path) -> None:
    coded = pa.array(["c1", "c2"]).dictionary_encode()
    assert (
        open_records(payments(tmp_path, customer_id=coded), FORMS["transactions"]).slice(0, 1)[0][0] == b"c1"
    )


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all" * 10])
def test_a_file_that_is_cut_off_or_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_bytes(content)
    with pytest.raises(ConfigError, match="E_INPUT_DAMAGED"):
        open_records(tmp_path / "labels.parquet", FORMS["labels"])


def test_a_demos_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    from features.project.running import project_of_process
    from headrace.demo.input import load_input
    from headrace.demo.plan import DemoPlan

    plan = DemoPlan(files=(str(payments(tmp_path)),), labels_file=tmp_path / "none.parquet")
    with pytest.raises(ConfigError, match="E_INPUT_FILE"):
        load_input(plan, project_of_process())
