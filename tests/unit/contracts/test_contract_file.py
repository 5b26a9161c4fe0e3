"""A contract read at run time: equal to what is generated, and every mistake with its line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import generate
from contracts.contract_file import contract_of, read_contract
from contracts.contract_version import Limits
from contracts.errors import ConfigError
from contracts.problem import Problem
from runtime.project_folder import INSTALLED

HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: rides
version: "1.0.0"
customProperties:
  - {property: eventTime, value: at}
schema:
  - name: Ride
    physicalName: rides.v1
    properties:
      - name: ride_id
        logicalType: string
        required: true
        primaryKey: true
      - name: at
        logicalType: timestamp
        required: true
"""
FARE = """\
      - name: fare
        logicalType: number
        physicalType: decimal(9, 2)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rides.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", generate.contract_files(generate.HERE), ids=lambda path: path.stem)
def test_our_own_contracts_can_be_read_as_sources_but_for_a_key_in_an_object(path: Path) -> None:
    assert [problem.what for problem in read_contract(path).problems] in ([], ["keyField: 'keys' is a other"])


def test_a_payment_has_an_id_of_its_customer_and_a_label_a_time_at_which_it_was_known() -> None:
    payments, labels = (contract_of(path) for path in generate.contract_files(INSTALLED / "contracts"))
    assert payments.id_fields == labels.id_fields == ("customer_id", "transaction_id")
    assert (payments.event_time, payments.known_at) == ("event_time", "")
    assert (labels.event_time, labels.known_at) == ("event_time", "label_time")


def test_what_is_nested_scaled_signed_and_written_as_text_is_read(tmp_path: Path) -> None:
    text = (
        HEAD
        + FARE
        + (
            "        physicalName: payload.price/net\n"
            "        customProperties:\n"
            "          - {property: currencyField, value: currency}\n"
            "      - {name: currency, logicalType: string, enum: [{value: EUR}, {value: USD}]}\n"
            "      - {name: tip, logicalType: string, physicalType: 'decimal(5,3)',\n"
            "         physicalName: /payload/a.b/c~1d}\n"
            "      - {name: seen, logicalType: integer, physicalType: epoch_us}\n"
            "      - {name: shared, logicalType: boolean}\n"
            "      - {name: local, logicalType: timestamp,\n"
            "         logicalTypeOptions: {timezone: false, defaultTimezone: '+02:00',\n"
            "           minimum: '2020-01-01T00:00:00Z'}}\n"
        )
    )
    ride = contract_of(written(tmp_path, text))
    fare, tip, local = (ride.by_name[name] for name in ("fare", "tip", "local"))
    assert (fare.path, fare.type, fare.scale, fare.low, fare.high) == (
        ("payload", "price/net"), "decimal", 2, -999_999_999, 999_999_999,
    )  # fmt: skip
    assert (fare.currency, fare.signed, fare.magnitude, fare.is_measure) == (
        "currency",
        True,
        999_999_999,
        True,
    )
    assert (tip.path, tip.high) == (("payload", "a.b", "c/d"), 99_999)
    assert ride.by_name["seen"].time_format == "epoch_us"
    assert (ride.by_name["shared"].magnitude, ride.by_name["shared"].signed) == (1, False)
    assert (local.time_format, local.zone, local.low) == ("iso8601", "+02:00", 1_577_836_800_000)
    assert ride.by_name["at"].zone == ""
    assert (fare.quoted, tip.quoted) == (False, True)
    assert ride.by_name["currency"].enum == ("EUR", "USD")
    assert (ride.key_field, ride.event_time, ride.id_fields, ride.limits) == (
        "",
        "at",
        ("ride_id",),
        Limits(),
    )


def test_the_only_time_of_a_record_is_its_event_time(tmp_path: Path) -> None:
    text = HEAD.replace("customProperties:\n  - {property: eventTime, value: at}\n", "")
    assert contract_of(written(tmp_path, text)).event_time == "at"


def test_limits_that_are_not_said_are_the_usual_ones(tmp_path: Path) -> None:
    text = HEAD.replace("value: at}\n", "value: at}\n  - {property: skewMs, value: 5}\n")
    limits = contract_of(written(tmp_path, text)).limits
    assert (limits.skew_ms, limits.depth_max) == (5, 64)


PROPERTY = "      - {{name: x, logicalType: {}}}\n"
CASES = {
    "kind": (
        HEAD.replace("DataContract", "Contract"),
        (2, "E_ODCS_VERSION", "kind 'Contract'", "write `kind: DataContract`", ""),
    ),
    "standard": (
        HEAD.replace("v3.1.0", "v2.2"),
        (1, "E_ODCS_VERSION", "apiVersion 'v2.2'", "write the contract as v3.1.0", ""),
    ),
    "missing": (
        HEAD.replace("id: rides\n", "iid: rides\n"),
        (1, "E_ODCS_PART", "id is missing", "add `id:`", "iid"),
    ),
    "shape": (
        HEAD.replace("required: true\n        primaryKey", "required: 'true'\n        primaryKey"),
        (
            13,
            "E_ODCS_PART",
            "required of 'ride_id' is 'true', not true or false",
            "write true or false there",
            "",
        ),
    ),
    "name": (
        HEAD + "      - {name: pick-up, logicalType: string}\n",
        (
            18,
            "E_ODCS_NAME",
            "'pick-up' cannot be a name",
            "use letters, digits and _, first no digit, no keyword",
            "",
        ),
    ),
    "twice": (
        HEAD + "      - {name: at, logicalType: string}\n",
        (18, "E_ODCS_NAME", "the field 'at' twice", "rename one of them", ""),
    ),
    "type": (
        HEAD + PROPERTY.format("strng"),
        (
            18,
            "E_ODCS_TYPE",
            "logicalType 'strng' is not one that is read",
            "choose one of string, integer, number, boolean, object, timestamp, array",
            "string",
        ),
    ),
    "physical": (
        HEAD + PROPERTY.format("integer, physicalType: epoch_msec"),
        (
            18,
            "E_ODCS_TYPE",
            "physicalType 'epoch_msec' with logicalType 'integer'",
            "write integer with epoch_s, epoch_ms or epoch_us, and number with decimal(digits, scale)",
            "epoch_ms",
        ),
    ),
    "decimal": (
        HEAD + FARE.replace("9, 2", "2, 9"),
        (
            20,
            "E_ODCS_TYPE",
            "physicalType 'decimal(2, 9)'",
            "write decimal(digits, scale), as decimal(12, 2), of at most 18 digits",
            "",
        ),
    ),
    "option": (
        HEAD + PROPERTY.format("string, logicalTypeOptions: {maxLenght: 3}"),
        (
            18,
            "E_ODCS_OPTION",
            "the option 'maxLenght' of a string is not read",
            "use minLength, maxLength, pattern, format",
            "maxLength",
        ),
    ),
    "reversed": (
        HEAD + PROPERTY.format("integer, logicalTypeOptions: {minimum: 3, maximum: 2}"),
        (18, "E_ODCS_RANGE", "minimum is above maximum", "exchange them", ""),
    ),
    "no number": (
        HEAD + PROPERTY.format("integer, logicalTypeOptions: {minimum: few}"),
        (18, "E_ODCS_RANGE", "minimum is 'few', no number", "write a number there", ""),
    ),
    "digits": (
        HEAD + FARE + "        logicalTypeOptions: {minimum: 0.005}\n",
        (21, "E_ODCS_RANGE", "0.005 has more digits than the scale 2", "round it to the scale", ""),
    ),
    "enum": (
        HEAD + PROPERTY.format("string, enum: [{value: a}, {value: a}]"),
        (18, "E_ODCS_ENUM", "the value 'a' twice", "leave one of them out", ""),
    ),
    "zone": (
        HEAD + PROPERTY.format("timestamp, logicalTypeOptions: {defaultTimezone: Europe/Vienna}"),
        (
            18,
            "E_ODCS_TIME",
            "the zone 'Europe/Vienna' is no fixed offset from UTC",
            "write UTC or an offset such as +02:00: in a zone with summer time an hour of each year is two",
            "",
        ),
    ),
    "start": (
        HEAD.replace("value: at}\n", "value: at}\n  - {property: effectiveFrom, value: yesterday}\n"),
        (
            7,
            "E_ODCS_TIME",
            "effectiveFrom 'yesterday' is no time with an offset",
            "write it as 2024-01-31T00:00:00Z",
            "",
        ),
    ),
    "reference": (
        HEAD.replace("value: at}\n", "value: at}\n  - {property: keyField, value: rideid}\n"),
        (7, "E_ODCS_REFERENCE", "keyField: no field 'rideid'", "name a field of the schema", "ride_id"),
    ),
    "no time": (
        HEAD.replace("value: at}", "value: ride_id}"),
        (6, "E_ODCS_REFERENCE", "eventTime: 'ride_id' is no time", "name one of at", ""),
    ),
    "not before": (
        HEAD + PROPERTY.format("timestamp, customProperties: [{property: notBefore, value: att}]"),
        (18, "E_ODCS_REFERENCE", "notBefore of 'x': 'att'", "name one of at", "at"),
    ),
    "property": (
        HEAD.replace("eventTime", "event_time"),
        (
            6,
            "E_ODCS_PROPERTY",
            "the property 'event_time' means nothing here",
            "correct its name",
            "eventTime",
        ),
    ),
    "limit": (
        HEAD.replace("value: at}\n", "value: at}\n  - {property: skewMs, value: -1}\n"),
        (7, "E_ODCS_LIMIT", "skewMs is -1, no whole number from 1 on", "write one", ""),
    ),
    "fields": (
        HEAD.replace("value: at}\n", "value: at}\n  - {property: fieldsMax, value: 1}\n"),
        (7, "E_ODCS_LIMIT", "fieldsMax leaves no room for the 2 fields", "write 2 or more", ""),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_with_its_line_and_what_to_do(tmp_path: Path, case: str) -> None:
    text, (line, code, what, remedy, nearest) = CASES[case]
    path = written(tmp_path, text)
    expected = Problem(file=str(path), line=line, code=code, what=what, remedy=remedy, nearest=nearest)
    assert read_contract(path).problems == (expected,)


def test_all_mistakes_are_named_at_once_and_the_other_fields_are_read(tmp_path: Path) -> None:
    text = HEAD.replace("v3.1.0", "v2") + PROPERTY.format("strng") + FARE.replace("9, 2", "99, 2")
    found = read_contract(written(tmp_path, text))
    assert [(problem.line, problem.code) for problem in found.problems] == [
        (1, "E_ODCS_VERSION"), (18, "E_ODCS_TYPE"), (21, "E_ODCS_TYPE"),
    ]  # fmt: skip
    assert found.version is not None
    assert set(found.version.by_name) == {"ride_id", "at"}
    assert found.names == {"ride_id", "at", "x", "fare"}


def test_a_file_that_is_no_yaml_or_is_not_there_is_one_problem(tmp_path: Path) -> None:
    (broken,) = read_contract(written(tmp_path, HEAD + "  - [\n")).problems
    assert (broken.code, broken.line) == ("E_CONFIG_YAML", 19)
    (absent,) = read_contract(tmp_path / "nowhere.yaml").problems
    assert (absent.code, absent.what) == ("E_CONFIG_YAML", "cannot be read: No such file or directory")


def test_who_needs_a_contract_gets_the_first_mistake_as_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        contract_of(written(tmp_path, HEAD.replace("value: at", "value: att")))
    assert str(refused.value) == (
        f"E_ODCS_REFERENCE: eventTime: no field 'att' ({tmp_path}/rides.yaml:6);"
        " name a field of the schema: did you mean 'at'?"
    )


@pytest.mark.parametrize("wrong", [None, 5, [], {}, "x", [5], [[]], {"a": 5}, True])
def test_no_shape_of_a_document_is_too_strange_to_be_refused(tmp_path: Path, wrong: object) -> None:
    """Put a value of the wrong shape in each place: a problem or a reading, never another error."""
    document = yaml.safe_load(HEAD + FARE + "        logicalTypeOptions: {minimum: 0}\n")
    path = tmp_path / "rides.yaml"
    for way in ways(document):
        changed = yaml.safe_load(yaml.safe_dump(document))
        inner = changed
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = wrong
        path.write_text(yaml.safe_dump(changed))
        assert read_contract(path) is not None


def ways(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to each value of a document but the whole."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, part in inner for found in ((*way, key), *ways(part, (*way, key)))]


PLACES = {
    "one place": (
        "      - {name: a, logicalType: string, physicalName: at}\n",
        (18, "E_ODCS_PATH", "'a' is where 'at' is, at at"),
    ),
    "inside": (
        "      - {name: a, logicalType: string, physicalName: ride_id.x}\n",
        (18, "E_ODCS_PATH", "'a' is inside 'ride_id', a string, at ride_id.x"),
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_in_the_record_has_one_field(tmp_path: Path, case: str) -> None:
    text, due = PLACES[case]
    (problem,) = read_contract(written(tmp_path, HEAD + text)).problems
    assert (problem.line, problem.code, problem.what) == due


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        (("required: true\n        primaryKey", "primaryKey"), "E_ODCS_REFERENCE",
         "the id field 'ride_id' may be missing"),
        (("logicalType: timestamp\n        required: true", "logicalType: timestamp"), "E_ODCS_TIME",
         "'at' is the time of a record and may be missing"),
        (("logicalType: timestamp\n", "logicalType: timestamp\n        logicalTypeOptions: "
          '{minimum: "1969-01-01T00:00:00Z"}\n'), "E_ODCS_TIME",
         "'at' is the time of a record and may lie outside of 1970 to 2106"),
        (("value: at}\n", "value: at}\n  - {property: keyField, value: at}\n"), "E_ODCS_REFERENCE",
         "keyField: 'at' is a time"),
        (("logicalType: string\n        required: true\n        primaryKey",
          "logicalType: number\n        required: true\n        primaryKey"), "E_ODCS_REFERENCE",
         "the id field 'ride_id' is a number"),
    ],
)  # fmt: skip
def test_a_field_must_be_fit_for_what_it_is_named_for(
    tmp_path: Path, change: tuple[str, str], code: str, what: str
) -> None:
    (problem,) = read_contract(written(tmp_path, HEAD.replace(*change))).problems
    assert (problem.code, problem.what) == (code, what)


def test_an_object_may_be_a_field_beside_those_inside_it(tmp_path: Path) -> None:
    fields = ("name: ride, logicalType: object", "name: x, logicalType: string, physicalName: ride.x")
    text = "".join(f"      - {{{field}}}\n" for field in fields)
    assert read_contract(written(tmp_path, HEAD + text)).problems == ()
