"""`headrace init NAME -t TEMPLATE`: projects that are right, made of the very files that the examples are."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from features.project.running import running_project
from headrace.__main__ import cli
from headrace.init.templates import OF_THE_PACKAGE, template_files, template_names
from headrace.traffic.form import forms_of
from headrace.traffic.workloads import Generator
from tests.architecture.test_names import packed

CHECKOUT = Path(__file__).resolve().parents[4]
ORIGINS = {
    "minimal": CHECKOUT / "headrace" / "templates" / "minimal",
    "payments": CHECKOUT / "feature_repo",
    "logins": CHECKOUT / "examples" / "logins",
    "flights": CHECKOUT / "examples" / "flights",
}


def init(*words: str | Path, code: int = 0) -> str:
    answer = CliRunner().invoke(cli, ["init", *map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer.output


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not set(path.relative_to(folder).parts) & set(OF_THE_PACKAGE)
    }


@pytest.mark.parametrize("template", ["payments", "logins", "flights"])
def test_an_example_is_its_folder_byte_for_byte(tmp_path: Path, template: str) -> None:
    init(tmp_path / "mine", "-t", template)
    assert files_of(tmp_path / "mine") == files_of(ORIGINS[template])


@pytest.mark.parametrize("template", template_names())
def test_a_new_project_is_right_and_has_records(tmp_path: Path, template: str) -> None:
    said = init(tmp_path / "mine", "-t", template)
    assert f"headrace --project {tmp_path / 'mine'} demo" in said
    answer = CliRunner().invoke(cli, ["check", "--project", str(tmp_path / "mine")])
    assert answer.exit_code == 0, answer.output
    project = running_project(tmp_path / "mine")
    generator = Generator.of(project.folder)
    workload = "small" if "small" in generator.names else None
    made = generator.records(workload, 500, forms_of(project.pipeline))
    assert {form.name for form in made} >= {project.pipeline.scored.name}
    assert all(len(records.moment_ms) for records in made.values())


def test_the_smallest_takes_the_folders_name(tmp_path: Path) -> None:
    init(tmp_path / "My-Shop 2")
    assert running_project(tmp_path / "My-Shop 2").name == "my_shop_2"
    assert "\nproject: my_shop_2\n" in (tmp_path / "My-Shop 2" / "feature_store.yaml").read_text()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = init(tmp_path, code=2)
    assert "E_INIT_FOLDER: the folder is not empty: notes.txt" in said
    assert "nothing of yours is written over" in said
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert "E_INIT_FOLDER" in init(tmp_path / "notes.txt" / "below", code=2)


@pytest.mark.parametrize("template", template_names())
def test_the_wheel_carries_every_file_of_a_template(template: str) -> None:
    at = f"headrace/templates/{template}/"
    carried = {path.removeprefix(at) for path in packed(CHECKOUT) if path.startswith(at)}
    assert carried == {str(path) for path in template_files(template)}
