"""The engine names no use case: no customer, terminal, card, payment or fraud, in the checkout or the wheel.

Those words are the card payments', which are a project like any other (decision 0139).
"""

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from setuptools import Distribution
from setuptools.command.build_py import build_py

CHECKOUT = Path(__file__).resolve().parents[2]
ENGINE = ("contracts", "runtime", "features", "streams", "inference", "headrace")
MAY_NAME = ("feature_repo/", "headrace/templates/")  # of what is packed: a project, and beginnings of some
NO_TEXT = {".pyc", ".so", ".npz", ".parquet", ".png"}
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Whole words of identifiers and texts. A transaction is Kafka's, unless it has an id or is a topic.
WORDS = re.compile(
    r"(?<![a-z])(?:(?:customer|terminal|card|payment|fraud)(?:s|ulent)?|transaction_?ids?)(?![a-z])"
    r"|[\"'`/ ]transactions[/\"'`.](?:[0-9]|dlq|\s|$|[,)\]])"
)


def engine(checkout: Path) -> list[str]:
    """Return the paths of the engine's files as they are in the checkout."""
    found = (path for room in ENGINE for path in (checkout / room).rglob("*") if path.is_file())
    paths = (path.relative_to(checkout) for path in found)
    return sorted(str(path) for path in paths if "__pycache__" not in path.parts)


def packed(checkout: Path) -> list[str]:
    """Return the paths of the files that setuptools packs into the wheel."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # setuptools' own about its configuration
        patch.chdir(checkout)
        distribution = Distribution({"script_name": "setup.py"})
        distribution.parse_config_files()
        command = build_py(distribution)
        command.ensure_finalized()
        modules = [path for _, _, path in command.find_all_modules()]
        data = [f"{folder}/{name}" for _, folder, _, names in command.data_files for name in names]
        return sorted({Path(path).as_posix() for path in [*modules, *data]})


def naming(checkout: Path, paths: Iterable[str]) -> Iterator[str]:
    """Yield `path:line: text` of what names the use case, and the path of a file whose name does."""
    for path in paths:
        if path.startswith(MAY_NAME) or Path(path).suffix in NO_TEXT:
            continue
        if _names(path):
            yield f"{path}: its own name"
        text = (checkout / path).read_text(encoding="utf-8")
        yield from (
            f"{path}:{at}: {line.strip()}" for at, line in enumerate(text.split("\n"), 1) if _names(line)
        )


def _names(text: str) -> bool:
    return WORDS.search(CAMEL.sub("_", text).lower()) is not None


@pytest.mark.parametrize("files", [engine, packed])
def test_no_file_of_the_engine_names_the_use_case(files) -> None:
    found = list(naming(CHECKOUT, files(CHECKOUT)))
    assert found == [], "say it in words that any project has, or move it to the project:\n" + "\n".join(
        found
    )


def test_the_wheel_packs_the_engine_and_the_projects_that_come_with_it() -> None:
    paths = packed(CHECKOUT)
    assert {path.partition("/")[0] for path in paths} == {*ENGINE, "feature_repo"}
    assert {"feature_repo/features.py", "feature_repo/policy.yaml", "headrace/codes/base.toml"} <= set(paths)


@pytest.mark.parametrize(
    "planted",
    [
        "amount_by_customer = 1", "class CardRows: ...", '"""A payment."""', "# frauds are rare",
        "terminal_id: t1", "isFraudulent", 'row["transaction_id"]', 'topic = "transactions"',
        "orders/1 and transactions/0",
    ],
)  # fmt: skip
def test_a_planted_word_is_found(tmp_path: Path, planted: str) -> None:
    (tmp_path / "a.py").write_text(f"discard = 1\n{planted}\n")
    assert [one.rpartition(": ")[2] != "" for one in naming(tmp_path, ["a.py"])] == [True]


def test_a_planted_file_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "payments.sql").write_text("select 1")
    assert list(naming(tmp_path, ["payments.sql"])) == ["payments.sql: its own name"]


@pytest.mark.parametrize(
    "meant",
    [
        "dashboard_wildcards = discard('cardinality')",
        "Kafka's transactions end",
        "the transaction_timeout_ms",
    ],
)
def test_a_word_that_only_contains_one_is_none(tmp_path: Path, meant: str) -> None:
    (tmp_path / "a.py").write_text(meant)
    assert list(naming(tmp_path, ["a.py"])) == []
