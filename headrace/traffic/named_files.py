"""Files as a command line names them, `SOURCE=FILE`, by the source that each is of."""

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import ConfigError
from contracts.pipeline import Pipeline
from headrace.traffic.form import Form, form_of, forms_of


def files_by_form(pipeline: Pipeline, given: Sequence[str], labels: Path | None = None) -> dict[Form, Path]:
    """Return the files by the form of their records, in the order given.

    Args:
        given: `SOURCE=FILE`, or `FILE` for the scored source.
        labels: a file of the project's source of labels.

    Raises:
        ConfigError: E_INPUT_SOURCE, no such source, none or several of labels, or two files are of one.

    >>> from features.project.running import project_at
    >>> files = files_by_form(project_at("examples/logins").pipeline, ["a.parquet", "resets=b.ndjson"])
    >>> {form.name: str(path) for form, path in files.items()}
    {'logins': 'a.parquet', 'resets': 'b.ndjson'}
    """
    found: dict[Form, Path] = {}
    for form, path in forms_and_files(pipeline, given):
        _add(found, form, path)
    if labels is not None:
        _add(found, _only_labels(pipeline, forms_of(pipeline)), labels)
    return found


def forms_and_files(pipeline: Pipeline, given: Sequence[str]) -> list[tuple[Form, Path]]:
    """Return files and the form of their records in the order given; of one source there may be several.

    Raises:
        ConfigError: E_INPUT_SOURCE, no such source.
    """
    forms = forms_of(pipeline)
    pairs = [_named(text) for text in given]
    return [
        (form_of(forms, name) if name else forms[pipeline.scored.name], Path(file)) for name, file in pairs
    ]


def _named(text: str) -> tuple[str, str]:
    """Return the source's name, "" where none is given, and the file."""
    name, between, file = text.partition("=")
    if not between or "/" in name or Path(text).exists():
        return "", text
    return name, file


def _only_labels(pipeline: Pipeline, forms: dict[str, Form]) -> Form:
    if len(pipeline.labels) != 1:
        names = ", ".join(source.name for source in pipeline.labels) or "none"
        raise ConfigError(
            "E_INPUT_SOURCE", f"--labels is for a project with one source of labels; this has {names}",
            pipeline.name, "name the source: SOURCE=FILE",
        )  # fmt: skip
    return forms[pipeline.labels[0].name]


def _add(found: dict[Form, Path], form: Form, path: Path) -> None:
    if form in found:
        raise ConfigError(
            "E_INPUT_SOURCE", f"two files are of {form.name}", f"{found[form]}, {path}", "give one a source"
        )
    found[form] = path
