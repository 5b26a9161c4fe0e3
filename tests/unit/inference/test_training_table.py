"""The training set as a file and as a frame is what `train` uses: rows, values, labels, bit for bit."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from features.project.running import project_at
from headrace.__main__ import cli
from headrace.training_data import training_frame
from inference.models.provenance import Provenance
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.offline.training.training_set import TrainingSet
from inference.offline.training.training_table import ABOUT, training_table
from runtime.run import Run
from tests.logins_lake import LOGINS, logins_lake
from tests.unit.inference.conftest import Made

QUICK = TrainSettings(max_bin=255, rounds_max=5, rounds_patience=5, validation_share=0.25)


@pytest.fixture(scope="module")
def data(made: Made) -> TrainingSet:
    return training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))


@pytest.fixture
def run(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run.create(tmp_path, "kept")
    run.lake.rmdir()
    run.lake.symlink_to(made.lake.folder)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_RUN", str(run.home))
    return run


def asked(path: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["training-set", "-o", str(path), *words])


def test_the_file_has_the_very_data_that_a_model_was_trained_on(
    data: TrainingSet, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "training.parquet"
    answer = asked(path)
    assert answer.exit_code == 0, answer.output
    table = pq.read_table(path)
    assert table.column_names == [*ABOUT, *data.project.service.columns]
    vectors = np.column_stack(
        [table[name].fill_null(np.nan).to_numpy() for name in data.project.service.columns]
    )
    assert vectors.tobytes() == data.vectors.tobytes()
    sha = hashlib.sha256("\n".join(table["event_id"].to_pylist()).encode())
    sha.update(vectors.tobytes())
    sha.update(table["positive"].to_numpy().astype(np.int64).tobytes())
    trained = train(data, QUICK, Provenance.of())
    assert trained.manifest["data_hash"] == sha.hexdigest()
    assert table.schema.metadata[b"headrace.data_hash"].decode() == sha.hexdigest()
    assert f"{len(data):,} events" in answer.output


def test_labels_that_were_not_known_at_the_moment_are_not_in_it(
    data: TrainingSet, run: Run, tmp_path: Path
) -> None:
    moment_ms = int(np.quantile(data.label_ms, 0.5))
    path = tmp_path / "training.csv"
    assert asked(path, "--until", str(moment_ms)).exit_code == 0
    table = csv.read_csv(path)
    assert 0 < len(table) < len(data)
    known = table["label_known_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()
    assert known.max() <= moment_ms
    ids = set(data.ids[data.label_ms <= moment_ms].astype(str).tolist()) if data.ids is not None else set()
    assert set(table["event_id"].cast("string").to_pylist()) <= ids


def test_a_frame_is_the_same_by_name_of_the_run(data: TrainingSet, run: Run) -> None:
    frame = training_frame("kept")
    assert len(frame) == len(data)
    columns = list(data.project.service.columns)
    assert frame[columns].to_numpy(np.float64).tobytes() == data.vectors.tobytes()
    assert frame["positive"].tolist() == data.positive.tolist()
    assert str(frame["event_time"].dt.tz) == "UTC"


def test_a_category_is_its_text_and_its_code_is_the_models(tmp_path: Path) -> None:
    project = project_at(str(LOGINS))
    lake = logins_lake(tmp_path, project, accounts=20, days=50)
    found = training_set.build(lake, NoProfileHistory(), training_set.newest_ms(lake))
    channel = training_table(found)["channel"].combine_chunks()
    assert set(channel.to_pylist()) <= {"web", "app", "api"}
    codes = found.vectors[:, project.service.columns.index("channel")]
    assert (channel.indices.fill_null(-1).to_numpy() + 1 == codes).all()
    assert len(set(codes.tolist())) > 1


def test_another_name_than_parquet_or_csv_is_refused(run: Run, tmp_path: Path) -> None:
    answer = asked(tmp_path / "training.xlsx")
    assert answer.exit_code == 2
    assert "E_OUTPUT_FORMAT" in answer.output
    assert not (tmp_path / "training.xlsx").exists()
