"""A YAML file of people's making: YAML 1.2's scalars, and an error with file and line for anything else."""

import os
from pathlib import Path
from typing import Any

import pytest

from contracts import yaml_file
from contracts.errors import ConfigError
from contracts.yaml_file import load, parse

FILE = Path("policy.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0o17", 15), ("0x1F", 31), ("-5", -5), ("+12", 12), ("0", 0), ("9223372036854775807", 2**63 - 1),
        ("1e-3", 0.001), ("1.0e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-.inf", float("-inf")),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("2023-02-30", "2023-02-30"), ("9999-99-99", "9999-99-99"), ("2023-02-03", "2023-02-03"),
        ("yes please", "yes please"), ("12:30pm", "12:30pm"), ("1.2.3", "1.2.3"), ("0.1%", "0.1%"),
        ("=", "="), ("'0777'", "0777"), ('"no"', "no"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    read = parse(f"a: {text}\n".encode(), FILE)["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "-1:30",
        "1:30",
        "190:20:30.15",
        "1_000",
        "-1_0.5",
        "0777",
        "00",
        "0b11",
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "12e5",
    ],
)
def test_what_other_readers_take_for_something_else_must_be_quoted(text: str) -> None:
    error = _refusal(f"b: 1\na: {text}\n".encode())
    assert (error.where, repr(text) in error.what) == ("policy.yaml:2", True)
    assert "quote" in error.next_step
    assert parse(f"a: '{text}'\n".encode(), FILE) == {"a": text}


@pytest.mark.parametrize(
    ("line", "data"),
    {
        "template as a value": (2, b"b: 1\nmore: {{ review_threshold }}\n"),
        "template as a key": (1, b"{{ name }}: 1\n"),
        "list as a key": (1, b"? [a]\n: b\n"),
        "number as a key": (1, b"1: a\n"),
        "null as a key": (1, b"~: a\n"),
        "merge key": (1, b"<<: {a: 1}\n"),
        "key twice": (2, b"a: 1\na: 2\n"),
        "key twice, written differently": (2, b'a: 1\n"a": 2\n'),
        "tag of a number": (1, b"a: !!int x\n"),
        "tag of a time": (1, b"a: !!timestamp x\n"),
        "tag of bytes": (1, b"a: !!binary '%%%'\n"),
        "tag of code": (1, b"a: !!python/object/apply:os.system ['id']\n"),
        "tag of a set": (1, b"a: !!set {x}\n"),
        "own tag": (1, b"a: !secret x\n"),
        "5,000 digits": (1, b"a: " + b"9" * 5000 + b"\n"),
        "65 bits": (1, b"a: 9223372036854775808\n"),
        "5,000 octal digits": (1, b"a: 0o" + b"7" * 5000 + b"\n"),
        "beyond a double": (1, b"a: 1e400\n"),
        "deep list": (1, b"a: " + b"[" * 3000),
        "deep mapping": (1, b"{a: " * 3000),
        "deep block": (1, b"- " * 3000),
        "many aliases": (22, b"a: &a {x: 1}\n" + b"".join(b"k%d: *a\n" % at for at in range(25))),
        "alias bomb": (
            4,
            b"a: &a [" + b"1," * 999 + b"1]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\n"
            b"d: [*c,*c,*c,*c]\n",
        ),
        "alias of itself": (1, b"a: &x [*x]\n"),
        "alias of nothing": (1, b"a: *x\n"),
        "NUL": (2, b"b: 1\na: \0\n"),
        "control character": (2, b"b: 1\na: \x1b[2J\n"),
        "not UTF-8": (2, b"b: 1\na: \xff\n"),
        "UTF-16": (1, "a: 1\n".encode("utf-16")),
        "UTF-16 without a mark": (1, "a: 1\n".encode("utf-16-le")),
        "half a surrogate pair": (1, b'a: "\\ud800"\n'),
        "beyond Unicode": (1, b'a: "\\U00110000"\n'),
        "far beyond Unicode": (1, b'a: "\\UFFFFFFFF"\n'),
        "tab": (1, b"a:\t\tb: 1\n"),
        "two documents": (2, b"a: 1\n---\nb: 2\n"),
        "half written": (None, b"a: [1, 2"),
        "no mapping": (1, b"- 1\n"),
        "nothing": (1, b""),
        "huge": (1, b"#" * (yaml_file.BYTES_MAX + 1)),
    }.values(),
)
def test_anything_else_is_an_error_with_file_and_line(line: int | None, data: bytes) -> None:
    error = _refusal(data)
    assert error.where.startswith("policy.yaml:")
    assert error.next_step
    if line is not None:
        assert error.where == f"policy.yaml:{line}"


def test_more_values_than_anybody_writes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "NODES_MAX", 1000)
    assert _refusal(b"a: [" + b"1," * 1200 + b"1]\n").what == "more than 1000 values"


def test_any_short_text_gives_a_mapping_or_a_coded_error() -> None:
    signs = ["a", ":", " ", "\n", "{", "}", "[", "]", "-", "&x", "*x", "!!", "!", "|", ">", "?", '"', "'",
             "\\", "0", "e", "_", "%", "@", "#", ",", "~", "<<", ".", "\t", "\x85", "\ufeff"]  # fmt: skip
    number, codes = 7, set()
    for _ in range(3000):
        text = "a: "
        for _ in range(9):
            number = (number * 1103515245 + 12345) % 2**31
            text += signs[number // 65536 % len(signs)]
        codes.add(_code(text.encode()))
    assert codes == {"", "E_CONFIG_YAML"}


def test_a_few_aliases_and_a_mark_of_byte_order_are_fine() -> None:
    assert parse(b"\xef\xbb\xbfa: &x [1]\nb: *x\n", FILE) == {"a": [1], "b": [1]}


def test_a_path_that_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="E_CONFIG_YAML"):
            load(path)


def _refusal(data: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        _read: Any = parse(data, FILE)
    assert refused.value.code == "E_CONFIG_YAML"
    return refused.value


def _code(data: bytes) -> str:
    try:
        parse(data, FILE)
    except ConfigError as error:
        return error.code
    return ""
