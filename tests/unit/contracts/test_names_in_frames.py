"""Names of fields and entities as frames carry them, and those that a contract cannot use."""

from pathlib import Path

import numpy as np
import pytest

from contracts.chain import Chain
from contracts.frame import Frame, decode, encode, position
from contracts.row_columns import made_columns
from features.project.load import load_project
from tests.project_maker import write_project

TAKEN = sorted(made_columns(Chain(("account", "account_id"))))


@pytest.mark.parametrize("name", ["line1", "Amount", "_x", "a1b2C3"])
def test_a_frame_carries_every_name_that_a_contract_may_use(name: str) -> None:
    rows = {"pos": np.array([1]), name: np.array([2]), f"{name}_values": np.array([[0.5]])}
    read = decode(encode(Frame("a/0", 0, position(1), True, 1, rows)))
    assert read.rows[name].tolist() == [2]
    assert read.rows[f"{name}_values"].tolist() == [[0.5]]


@pytest.mark.parametrize("name", TAKEN)
def test_a_field_called_as_a_column_of_the_engine_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project")
    contract = folder / "contracts" / "logins.yaml"
    contract.write_text(contract.read_text().replace("name: free,", f"name: {name}, physicalName: free,"))
    found = [problem for problem in load_project(folder).problems if problem.error.code == "E_ODCS_NAME"]
    assert len(found) == 1
    assert repr(name) in found[0].error.what


def test_a_name_of_other_letters_is_refused(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project")
    contract = folder / "contracts" / "logins.yaml"
    contract.write_text(contract.read_text().replace("name: free,", "name: größe,"))
    assert "E_ODCS_NAME" in {problem.error.code for problem in load_project(folder).problems}
