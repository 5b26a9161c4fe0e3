"""What `headrace init --from` says of files that no project can be guessed from, and of odd ones that can."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts.errors import ConfigError
from features.project.running import running_project
from headrace.__main__ import cli
from headrace.init.infer import infer
from headrace.traffic.form import forms_of
from headrace.traffic.workloads import Generator

DAYS = range(1, 29)


def at(number: int) -> str:
    return f"2025-01-{1 + number // 24 % 28:02d}T{number % 24:02d}:00:00Z"


def csv_file(
    folder: Path, names: Sequence[str], rows: Sequence[Sequence[object]], file: str = "rides.csv"
) -> Path:
    with (folder / file).open("w", newline="") as output:
        csv.writer(output).writerows([names, *rows])
    return folder / file


def rides(folder: Path, rows: int = 100) -> Path:
    """Write rides that have an id, a time, a driver, a fare and whether there was a complaint."""
    made = [(f"r{n}", at(n), f"d{n % 7}", n % 40, "yes" if n % 10 == 0 else "no") for n in range(rows)]
    return csv_file(folder, ("ride_id", "at", "driver", "fare", "complaint"), made)


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", "E_INIT_EMPTY", "the file is empty"),
        (b" \n\n", "E_INIT_EMPTY", "the file is empty"),
        (b"ride_id,at,driver\n", "E_INIT_EMPTY", "no row below the header"),
        (b"\x00\x01\x02\x03" * 50, "E_INIT_BINARY", "neither Parquet nor text"),
        (b"PK\x03\x04\x14\x00\x00", "E_INIT_BINARY", "neither Parquet nor text"),
        (b"PAR1 and no more", "E_INPUT_DAMAGED", "cannot be read as Parquet"),
        (b"ride_id,at,driver\nr1,2025-01-01T00:00:00Z,d1\n", "E_INIT_ROWS", "there is one row"),
        (b"r1,2025-01-01T00:00:00Z,7\nr2,2025-01-02T00:00:00Z,8\n", "E_INIT_HEADER", "not name the columns"),
        (b'{"at": "2025-01-01T00:00:00Z"\n' * 5, "E_INIT_LINES", ""),
        (b"[1, 2, 3]", "E_INIT_LINES", "no list of JSON objects"),
        (b"driver,fare\nd1,3\nd1,4\nd2,5\nd2,9\n", "E_INIT_TIME", "no column is a time"),
        (b"at,fare\n" + b"".join(b"2025-01-%02d,%d\n" % (n, n) for n in DAYS), "E_INIT_KEY", "whose"),
        (b"at,driver\n" + b"".join(b"2025-01-%02d,d1\n" % n for n in DAYS), "E_INIT_KEY", "whose"),
    ],
)  # fmt: skip
def test_a_file_that_says_too_little_is_refused_with_what_to_do(
    tmp_path: Path, data: bytes, code: str, told: str
) -> None:
    (tmp_path / "given").write_bytes(data)
    answer = CliRunner().invoke(cli, ["init", str(tmp_path / "made"), "--from", str(tmp_path / "given")])
    assert answer.exit_code == 2
    assert answer.output.startswith(f"Error {code}: ")
    assert told in answer.output
    assert "next: " in answer.output
    assert not (tmp_path / "made").exists(), "nothing is written"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E_INPUT_FILE"):
        infer(tmp_path / "rides.csv")


def test_few_lines_of_another_width_are_left_out_and_told_and_many_are_refused(tmp_path: Path) -> None:
    file = rides(tmp_path)
    file.write_text(file.read_text() + "r100,2025-01-09T00:00:00Z\nr101,2025-01-09T00:00:00Z,d1,3,no,more\n")
    assert infer(file).broken == [102, 103]
    file.write_text(file.read_text() + "r,1\n" * 10)
    with pytest.raises(ConfigError, match="12 of 112 lines are no records: 102, 103, 104"):
        infer(file)


def test_a_table_in_columns_is_parted_at_its_blanks(tmp_path: Path) -> None:
    days = [f"1997{1 + n // 28 % 12:02d}{1 + n % 28:02d}" for n in range(300)]
    rows = (f" {n % 30:05d} {day}  {n % 5:2d} {n % 97 + 0.5:7.2f}" for n, day in enumerate(days))
    (tmp_path / "purchases.txt").write_text(
        "\n".join([" customer_id  date number_of_cds  dollar_value", *rows])
    )
    found = infer(tmp_path / "purchases.txt")
    assert {guess.name: guess.role for guess in found.guesses} == {
        "customer_id": "key", "date": "time", "number_of_cds": "measure", "dollar_value": "measure",
    }  # fmt: skip
    assert not found.time.kind.has_clock


def test_ten_thousand_values_are_no_category(tmp_path: Path) -> None:
    rows = [(at(n), f"d{n % 50}", f"street {n}") for n in range(10_000)]
    found = infer(csv_file(tmp_path, ("at", "driver", "street_text"), rows))
    (street,) = (guess for guess in found.guesses if guess.name == "street_text")
    assert (street.kind.enum, street.role) == ((), "value")
    assert [guess.name for guess in found.keys] == ["driver"]


def test_without_an_id_nothing_is_deduplicated(tmp_path: Path) -> None:
    rows = [(at(n // 2), f"d{n % 7}", n % 40) for n in range(100)]
    init(tmp_path, csv_file(tmp_path, ("at", "driver", "fare"), rows))
    contract = (tmp_path / "made" / "contracts" / "rides.yaml").read_text()
    assert "primaryKey" not in contract
    assert running_project(tmp_path / "made").pipeline.scored.ids == ()


def test_a_column_without_values_and_a_list_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [{"at": at(n), "driver": f"d{n % 7}", "none": None, "stops": [1, 2]} for n in range(50)]
    (tmp_path / "rides.ndjson").write_text("\n".join(map(json.dumps, rows)))
    found = infer(tmp_path / "rides.ndjson")
    assert found.left_out == ["stops: a list", "none: no row has a value"]
    assert "left out: stops: a list" in init(tmp_path, tmp_path / "rides.ndjson")


def test_a_category_is_the_key_where_nothing_else_comes_again(tmp_path: Path) -> None:
    rows = [(at(n), "north" if n % 3 else "south") for n in range(60)]
    found = infer(csv_file(tmp_path, ("at", "region"), rows))
    assert [(guess.name, guess.sure) for guess in found.keys] == [("region", 0.3)]


def test_a_key_that_is_named_is_taken_and_one_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = rides(tmp_path)
    assert [guess.name for guess in infer(file, keys=["complaint"]).keys] == ["complaint"]
    with pytest.raises(ConfigError, match=r"'far' is no column of short texts.*name one of ride_id, driver"):
        infer(file, keys=["far"])


def test_a_label_in_the_file(tmp_path: Path) -> None:
    said = init(tmp_path, rides(tmp_path), "--label", "complaint")
    assert "labels no 90, yes 10; 'yes' is positive, as the word says" in said
    assert made_records(tmp_path) == {"rides": 100, "rides_labels": 100}
    features = (tmp_path / "made" / "features.py").read_text()
    assert 'positive=col("label") == "yes"' in features
    assert "complaint" not in (tmp_path / "made" / "contracts" / "rides.yaml").read_text()


@pytest.mark.parametrize(
    ("names", "rows", "told", "labels"),
    [
        (("ride", "complaint", "told_at"),
         [(f"r{n}", "no" if n % 9 else "yes", at(n + 50)) for n in range(80)],
         "'told_at' is taken for when it became known", 80),
        (("ride_id", "what"), [(f"r{n}", "lost") for n in range(0, 100, 10)], "an hour after its record", 10),
        (("ride_id",), [(f"r{n}",) for n in range(0, 120, 10)], "name no record of rides.csv", 10),
    ],
)  # fmt: skip
def test_labels_in_a_file_of_their_own(
    tmp_path: Path, names: tuple[str, ...], rows: list[tuple[object, ...]], told: str, labels: int
) -> None:
    file = csv_file(tmp_path, names, rows, "complaints.csv")
    said = init(tmp_path, rides(tmp_path), "--labels", str(file))
    assert told in said
    assert made_records(tmp_path) == {"rides": 100, "rides_labels": labels}
    alone = len({row[1] for row in rows if len(row) > 1}) < 2
    assert ('negative_after="30d"' in (tmp_path / "made" / "features.py").read_text()) is alone


@pytest.mark.parametrize(
    ("label", "told"),
    [("complaints", "did you mean 'complaint'?"), ("ride_id", "100 values, not 2 to 20"),
     ("constant", "every row has the label")],
)  # fmt: skip
def test_a_label_that_can_be_none(tmp_path: Path, label: str, told: str) -> None:
    rows = [(f"r{n}", at(n), f"d{n % 7}", "no", "x") for n in range(100)]
    file = csv_file(tmp_path, ("ride_id", "at", "driver", "complaint", "constant"), rows)
    with pytest.raises(ConfigError, match="E_INIT_LABEL") as raised:
        infer(file, label=label)
    assert told in str(raised.value)


def test_labels_that_no_id_joins(tmp_path: Path) -> None:
    file = csv_file(tmp_path, ("id", "bad"), [("other1", 1), ("other2", 0)], "labels.csv")
    with pytest.raises(ConfigError, match="no column of it has values of ride_id"):
        infer(rides(tmp_path), labels=file)


def test_a_label_without_an_id_is_of_the_rows_number(tmp_path: Path) -> None:
    rows = [(at(n // 2), f"d{n % 7}", "yes" if n % 9 == 0 else "no") for n in range(100)]
    init(tmp_path, csv_file(tmp_path, ("at", "driver", "complaint"), rows), "--label", "complaint")
    assert "guess 0.3: the file has no id" in (tmp_path / "made" / "contracts" / "rides.yaml").read_text()
    assert made_records(tmp_path) == {"rides": 100, "rides_labels": 100}


def test_a_program_reads_the_guesses_as_json(tmp_path: Path) -> None:
    document = json.loads(init(tmp_path, rides(tmp_path), "--json"))
    assert document["problems"] == []
    assert {each["name"]: each["role"] for each in document["fields"]} == {
        "ride_id": "id", "at": "time", "driver": "key", "fare": "measure", "complaint": "category",
    }  # fmt: skip


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for words in (["--label", "x"], ["--from", "a", "-t", "minimal"]):
        answer = CliRunner().invoke(cli, ["init", str(tmp_path / "made"), *words])
        assert answer.exit_code == 2
        assert "Usage" in answer.output


def init(folder: Path, file: Path, *words: str) -> str:
    answer = CliRunner().invoke(cli, ["init", str(folder / "made"), "--from", str(file), *words])
    assert answer.exit_code == 0, answer.output
    return answer.output


def made_records(folder: Path) -> dict[str, int]:
    """Return how many records of each source a new project's generator makes."""
    project = running_project(folder / "made")
    made = Generator.of(project.folder).records(None, None, forms_of(project.pipeline))
    return {form.name: len(records.moment_ms) for form, records in made.items()}
