"""Read a contract (Open Data Contract Standard v3.1, YAML) at run time: one version of a topic's records."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from contracts.contract_field import epoch_ms, properties_of, read_field
from contracts.contract_version import TIME_MS_MAX, ContractField, ContractVersion, Limits
from contracts.problem import Problem
from contracts.yaml_part import Document, YamlPart, read_document

LIMITS = {
    "valueBytesMax": "value_bytes_max",
    "fieldsMax": "fields_max",
    "fieldBytesMax": "field_bytes_max",
    "depthMax": "depth_max",
    "keyBytesMax": "key_bytes_max",
    "headersBytesMax": "headers_bytes_max",
    "headersMax": "headers_max",
    "skewMs": "skew_ms",
}
REFERENCES = ("keyField", "eventTime", "knownAt")
DEDUPLICATE_MS_MAX = 3_650 * 86_400_000
PROPERTIES = ("effectiveFrom", "deduplicateMs", *REFERENCES, *LIMITS)


class ReadContract(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reading a contract file.

    Args:
        version: what it says, without the fields in which something is wrong; None when too little is left.
        problems: everything that is wrong, in the order of the file's lines.
        names: of all fields, also of those with problems.
    """

    version: ContractVersion | None
    problems: tuple[Problem, ...] = ()
    names: frozenset[str] = frozenset()


def contract_of(path: Path) -> ContractVersion:
    """Return the version of a contract file.

    Raises:
        ConfigError: the first problem that `read_contract` finds.
    """
    found = read_contract(path)
    if found.problems:
        raise found.problems[0].error
    assert found.version is not None
    return found.version


def read_contract(path: Path) -> ReadContract:
    """Read a contract file and note every problem.

    Codes: E_CONFIG_YAML (no YAML, or none that can be read), E_ODCS_VERSION, E_ODCS_PART (missing or of
    another shape), E_ODCS_NAME, E_ODCS_TYPE, E_ODCS_OPTION, E_ODCS_RANGE, E_ODCS_ENUM, E_ODCS_TIME,
    E_ODCS_REFERENCE (a name of no field), E_ODCS_PROPERTY, E_ODCS_LIMIT.
    """
    document = read_document(path)
    if isinstance(document, Problem):
        return ReadContract(version=None, problems=(document,))
    return _of_document(document)


def _of_document(document: Document) -> ReadContract:
    top = document.top
    _check_standard(top)
    schema = next(top.parts("schema"), None)
    if schema is None:
        return _read(document, None, ())
    properties = list(schema.parts("properties"))
    fields = _fields(properties)
    names = tuple(prop.word("name") for prop in properties)
    custom = properties_of(top, PROPERTIES)
    by_name = {field.name: field for field in fields}
    version = ContractVersion(
        topic=schema.text("physicalName"),
        contract=top.text("id"),
        version=top.text("version"),
        schema=schema.text("name"),
        effective_from_ms=_effective_from_ms(top, custom),
        fields=fields,
        id_fields=_id_fields(properties),
        deduplicate_ms=_deduplicate_ms(custom),
        limits=_limits(custom, fields),
        description=schema.text("description", ""),
        file=document.file,
        **{ours: _reference(custom, theirs, by_name, names) for theirs, ours in _REFERENCE_FIELDS.items()},
    )
    for prop, field in ((prop, by_name.get(prop.word("name"))) for prop in properties):
        _check_references(prop, field, by_name, names)
    version = _with_event_time(version)
    _check_whole(properties, version)
    return _read(document, version, names)


_REFERENCE_FIELDS = dict(zip(REFERENCES, ("key_field", "event_time", "known_at"), strict=True))


def _read(document: Document, version: ContractVersion | None, names: tuple[str, ...]) -> ReadContract:
    return ReadContract(version=version, problems=tuple(sorted(document.problems)), names=frozenset(names))


def _check_standard(top: YamlPart) -> None:
    kind, standard = top.text("kind"), top.text("apiVersion")
    if kind and kind != "DataContract":
        top.at("kind").wrong("E_ODCS_VERSION", f"kind {kind!r}", "write `kind: DataContract`")
    if standard and not standard.startswith("v3."):
        top.at("apiVersion").wrong(
            "E_ODCS_VERSION", f"apiVersion {standard!r}", "write the contract as v3.1.0"
        )


def _fields(properties: list[YamlPart]) -> tuple[ContractField, ...]:
    fields: dict[str, ContractField] = {}
    for prop in properties:
        name = prop.word("name")
        if name in fields:
            prop.wrong("E_ODCS_NAME", f"the field {name!r} twice", "rename one of them")
            continue
        field = read_field(prop)
        if field is not None:
            fields[field.name] = field
    return tuple(fields.values())


def _id_fields(properties: list[YamlPart]) -> tuple[str, ...]:
    """Return the fields of the primary key, by their position in it."""
    keys = [prop for prop in properties if prop.flag("primaryKey")]
    places = [prop.value.get("primaryKeyPosition", at + 1) for at, prop in enumerate(keys)]
    for prop, place in zip(keys, places, strict=True):
        if not isinstance(place, int) or places.count(place) > 1:
            prop.wrong("E_ODCS_PART", f"primaryKeyPosition {place!r}", "number the key's fields 1, 2, ...")
            return ()
    return tuple(prop.word("name") for _, prop in sorted(zip(places, keys, strict=True), key=lambda p: p[0]))


def _effective_from_ms(top: YamlPart, custom: Mapping[str, YamlPart]) -> int:
    """Return from when a version holds; without a word of it, always."""
    if "effectiveFrom" not in custom:
        return 0
    part = custom["effectiveFrom"]
    ms = epoch_ms(part.text("value"))
    if ms is None:
        part.wrong(
            "E_ODCS_TIME",
            f"effectiveFrom {part.value.get('value')!r:.60} is no time with an offset",
            "write it as 2024-01-31T00:00:00Z",
        )
    return ms or 0


def _whole(custom: Mapping[str, YamlPart], name: str) -> int:
    if name not in custom:
        return 0
    value = custom[name].value.get("value")
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    custom[name].wrong("E_ODCS_LIMIT", f"{name} is {value!r:.60}, no whole number from 1 on", "write one")
    return 0


def _deduplicate_ms(custom: Mapping[str, YamlPart]) -> int:
    """Return for how long ids are remembered; 0 where the contract does not say."""
    asked_ms = _whole(custom, "deduplicateMs")
    if asked_ms > DEDUPLICATE_MS_MAX:
        custom["deduplicateMs"].wrong(
            "E_ODCS_LIMIT", f"deduplicateMs is {asked_ms}, more than ten years",
            f"write {DEDUPLICATE_MS_MAX} or less: each id of that time is held in memory",
        )  # fmt: skip
        return 0
    return asked_ms


def _limits(custom: Mapping[str, YamlPart], fields: tuple[ContractField, ...]) -> Limits:
    """Return the sizes that records keep to: the usual ones where the contract names none."""
    given = {ours: _whole(custom, theirs) for theirs, ours in LIMITS.items() if theirs in custom}
    keys = len({field.path[:depth] for field in fields for depth in range(1, len(field.path) + 1)})
    if 0 < given.get("fields_max", keys) < keys:
        custom["fieldsMax"].wrong(
            "E_ODCS_LIMIT", f"fieldsMax leaves no room for the {keys} fields", f"write {keys} or more"
        )
    given.setdefault("fields_max", max(Limits().fields_max, 2 * keys))
    return msgspec.structs.replace(Limits(), **given)


def _reference(
    custom: Mapping[str, YamlPart], name: str, fields: Mapping[str, ContractField], names: tuple[str, ...]
) -> str:
    """Return the field that a property of the contract names."""
    if name not in custom:
        return ""
    part, field = custom[name], custom[name].text("value")
    if field and field not in names:
        part.wrong(
            "E_ODCS_REFERENCE", f"{name}: no field {field!r}", "name a field of the schema", (field, names)
        )
    elif name != "keyField" and field in fields and fields[field].type != "time":
        times = [name for name, other in fields.items() if other.type == "time"]
        part.wrong("E_ODCS_REFERENCE", f"{name}: {field!r} is no time", _one_of(times))
    return field


def _check_references(
    prop: YamlPart, field: ContractField | None, fields: Mapping[str, ContractField], names: tuple[str, ...]
) -> None:
    """Note what a field says of other fields that are not there or not of that kind."""
    if field is None:
        return
    times = [name for name, other in fields.items() if other.type == "time" and name != field.name]
    for what, named, known in (
        ("notBefore", field.not_before, times),
        ("currencyField", field.currency, list(fields)),
    ):
        if named and named not in known and (named in fields or named not in names):
            prop.wrong(
                "E_ODCS_REFERENCE", f"{what} of {field.name!r}: {named!r}", _one_of(known), (named, known)
            )


def _one_of(names: list[str]) -> str:
    return f"name one of {', '.join(names)}" if names else "declare one: none of the fields is of that kind"


def _with_event_time(version: ContractVersion) -> ContractVersion:
    """Return the version with its only time as its event time, where it names none."""
    times = [field.name for field in version.fields if field.type == "time"]
    if version.event_time or len(times) != 1:
        return version
    return msgspec.structs.replace(version, event_time=times[0])


def _check_whole(properties: list[YamlPart], version: ContractVersion) -> None:
    """Note what a field may be alone and not in its place: two at one place, a time or an id that is none."""
    at: dict[tuple[str, ...], str] = {}
    for prop in properties:
        field = version.by_name.get(prop.word("name"))
        if field is None:
            continue
        first = at.setdefault(field.path, field.name)
        if first != field.name:
            _note_place(prop, f"{field.name!r} is where {first!r} is", field)
        holders = (other for other in version.fields if other.path == field.path[: len(other.path)])
        for holder in holders:
            if holder is not field and holder.path != field.path and not holder.is_object:
                _note_place(prop, f"{field.name!r} is inside {holder.name!r}, a {holder.type}", field)
        if field.name in (version.event_time, version.known_at):
            _check_time(prop, field)
        if field.name in version.id_fields and prop.value.get("required", False) is False:
            what = f"the id field {field.name!r} may be missing"
            prop.wrong("E_ODCS_REFERENCE", what, "write `required: true`, or name records by other fields")
        if field.name in version.id_fields and field.column not in ("text", "int64"):
            prop.wrong(
                "E_ODCS_REFERENCE", f"the id field {field.name!r} is a {field.type}",
                "name a record by texts of at most 256 bytes and whole numbers",
            )  # fmt: skip
        if field.name == version.key_field and field.type not in ("string", "integer"):
            prop.wrong(
                "E_ODCS_REFERENCE",
                f"keyField: {field.name!r} is a {field.type}",
                "name a text or whole number",
            )


def _note_place(prop: YamlPart, what: str, field: ContractField) -> None:
    prop.wrong("E_ODCS_PATH", f"{what}, at {'.'.join(field.path)}", "leave one of them out")


def _check_time(prop: YamlPart, field: ContractField) -> None:
    """Note a time by which records count and that may be missing, or lie where windows cannot hold it."""
    if not field.required:
        prop.wrong(
            "E_ODCS_TIME",
            f"{field.name!r} is the time of a record and may be missing",
            "write `required: true`",
        )
    low, high = field.column_bounds
    if field.type == "time" and not 0 <= low <= high <= TIME_MS_MAX:
        prop.wrong(
            "E_ODCS_TIME", f"{field.name!r} is the time of a record and may lie outside of 1970 to 2106",
            "write a minimum and a maximum in between",
        )  # fmt: skip
