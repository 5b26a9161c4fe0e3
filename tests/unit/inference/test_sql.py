"""SQL text: whatever word a column or feature is named by, it is a name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.frame import Kind
from features.definition import Entity
from inference.offline.backfill.offline import folder_of
from inference.offline.lake.lake import Lake
from inference.offline.lake.sql import literal, quoted, register
from inference.offline.training.streamed_values import streamed_values
from load.this_project import CUSTOMER, PROJECT

ROOT = Path(__file__).parents[3]
ROOMS = ("inference", "feature_repo", "headrace", "streams", "load", "contracts", "features")
WORD = re.compile(r"[A-Za-z_]\w*")
# of the queries that write the language's own words small; `coalesce` is a function to us
SMALL = re.compile(
    "and|as|by|coalesce|create|distinct|double|filter|from|group|or|order|over|partition|replace|select|table"
    "|temp|where"
)


def keywords() -> list[str]:
    """Every keyword of the DuckDB that is installed."""
    rows = duckdb.sql("SELECT DISTINCT keyword_name FROM duckdb_keywords()").fetchall()
    return sorted(name for (name,) in rows)


def queries() -> Iterator[tuple[str, str]]:
    """Every SQL text of the product, with its place; what is spliced in reads as one plain word."""
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.sql")):
        yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in set(ast.walk(tree)) - prose:
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "spliced" for v in node.values]
                text = "".join(str(part) for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = re.sub(r"\{\w*\}", "spliced", node.value)
            else:
                continue
            if re.search(r"\bselect\b[\s\S]+\bfrom\b", text, re.IGNORECASE) and '"""' not in text:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def unquoted(query: str) -> list[str]:
    """Names of ours in a query that are keywords to DuckDB; the language's own are written large."""
    found = []
    for begin, kind in duckdb.tokenize(query):
        word = WORD.match(query, begin)
        if kind != duckdb.token_type.keyword or word is None or query[begin - 1] == "$":
            continue
        if word[0] != word[0].upper() and not SMALL.fullmatch(word[0]):
            found.append(word[0])
    return found


def test_the_search_sees_a_keyword_that_stands_for_a_name() -> None:
    assert unquoted("SELECT * EXCLUDE (at) FROM asked") == ["at"]
    assert not unquoted('SELECT "at" FROM asked WHERE asked."label" = $label')


def test_no_query_has_a_keyword_for_a_name() -> None:
    texts = [(place, text) for place, text in queries() if "docs" not in place]
    wrong = {place: words for place, text in texts if (words := unquoted(text))}
    assert len(texts) > 15
    assert not wrong


def test_every_keyword_is_a_fit_name_when_it_is_quoted() -> None:
    names = keywords()
    table = pa.table({name: [number] for number, name in enumerate(names)})
    with duckdb.connect() as database:
        for view in ("select", "table", 'a "b"'):
            database.register(view, table)
            wanted = ", ".join(quoted(name, of="at") for name in names)
            found = database.sql(f"SELECT {wanted} FROM {quoted(view)} AS {quoted('at')}")
            assert found.fetchall() == [tuple(range(len(names)))]
        text = 'it\'s \\ "so"'
        assert database.sql(f"SELECT {literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("view", ["raw", "order"])
def test_a_dataset_may_have_columns_and_a_view_that_are_keywords(tmp_path: Path, view: str) -> None:
    names = [name for name in keywords() if name not in ("offset", "partition")]
    folder = tmp_path / "it's" / "things" / "partition=0"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({**{name: [1] for name in names}, "offset": [0]}), folder / "0.parquet")
    lake = Lake(tmp_path / "it's", PROJECT)
    assert lake.files("things")
    with duckdb.connect() as database:
        register(database, lake, "things", view, dict.fromkeys(names, pa.int64()))
        rows = database.sql(f'SELECT * EXCLUDE ("partition", "offset") FROM {quoted(view)}').fetchall()
    assert rows == [(1,) * len(names)]


def test_a_backfilled_feature_may_be_named_by_any_keyword(tmp_path: Path) -> None:
    entity = _with_names(CUSTOMER, keywords())
    folder = folder_of(tmp_path, entity)
    folder.mkdir(parents=True)
    place = {"raw_partition": [0, 0], "raw_offset": [1, 0], "kind": [int(Kind.SCORED)] * 2, "pos": [7, 6]}
    values = {name: [float(number), float(-number)] for number, name in enumerate(entity.columns)}
    pq.write_table(pa.table({**place, **values}), folder / "part-0.parquet")
    asked = pa.table({"raw_partition": [0, 0], "raw_offset": [0, 1]})
    found = streamed_values(Lake(tmp_path, PROJECT), asked, entity)
    count = len(entity.columns)
    np.testing.assert_array_equal(found, [-np.arange(count), np.arange(count)])


def _with_names(entity: Entity, names: list[str]) -> Entity:
    """The entity with one feature a name, all in its first view."""
    view = entity.views[0]
    one = view.features[0]
    features = tuple(msgspec.structs.replace(one, name=name) for name in names)
    return msgspec.structs.replace(entity, views=(msgspec.structs.replace(view, features=features),))
