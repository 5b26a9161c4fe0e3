"""All files of an inferred project: contracts, features, policy, generator, README, Feast's."""

import json
from collections import deque
from collections.abc import Iterator

from features.project.durations import duration_ms
from headrace.given.given import name_of
from headrace.init.infer import Inferred
from headrace.init.labels import LabelGuess
from headrace.init.roles import time_of_guesses
from headrace.init.templates import FOLDER, SMALLEST
from headrace.init.write_contract import events_contract, labels_contract
from headrace.init.write_features import count_feature, features_text
from headrace.init.write_tests import first_test

OF_FEAST = (".feastignore", "feast_objects.py", "feature_store.yaml")


def project_files(found: Inferred, project: str) -> dict[str, str]:
    """Return the text of each file of a project, by its path."""
    labels = f"{found.source}_labels" if found.label else ""
    files = {f"contracts/{found.source}.yaml": events_contract(found)}
    if labels:
        files[f"contracts/{labels}.yaml"] = labels_contract(found, labels)
    files["features.py"] = features_text(found, project, labels)
    files["policy.yaml"] = _policy(found)
    files["generate.py"] = "\n".join(_generator(found, labels)) + "\n"
    if test := first_test(found):
        files["tests/first.yaml"] = test
    files["README.md"] = "\n".join(_readme(found, labels)) + "\n"
    for name in OF_FEAST:
        text = (FOLDER / SMALLEST / name).read_text()
        files[name] = text.replace(f"\nproject: {SMALLEST}\n", f"\nproject: {project}\n")
    return files


def _policy(found: Inferred) -> str:
    feature, window = count_feature(found)
    most = _most_of_a_key(found, window)
    about = "the model's score, and a rule." if found.label else "a rule alone: there is no model."
    return f"""\
# What is decided about a record: {about}
name: default
version: "1"

# From the mildest to the severest. `queue`: people look at it.
decisions:
  - {{name: allow}}
  - {{name: review, queue: true}}

fallback: allow

rules:
  # guess 0.3: more records of a key than any had within {window} in the file; write what is odd for you
  many:
    when: {feature} > records
    figures: {{records: {most}}}
    severity: review
    feature: {feature}
    reason: More records within {window} than any before.
"""


def _most_of_a_key(found: Inferred, window: str) -> int:
    """Return how many records of one key lie within a window at most."""
    length_ms, key, time = duration_ms(window), found.keys[0], time_of_guesses(found.guesses)
    within: dict[object, deque[int]] = {}
    most = 0
    timed = zip(time.moment_ms, key.values, strict=True)
    for at, value in sorted((at, str(value)) for at, value in timed if at and value is not None):
        recent = within.setdefault(value, deque())
        recent.append(at)
        while recent[0] <= at - length_ms:
            recent.popleft()
        most = max(most, len(recent))
    return most


def _generator(found: Inferred, labels: str) -> Iterator[str]:
    yield f'"""Records of {_comment(found.file.name)} as the contracts have them, for `headrace demo`.'
    yield ""
    yield "    python generate.py FOLDER     writes them as NDJSON, a file a source, for `headrace produce`"
    yield '"""'
    yield ""
    yield "import sys"
    yield "from pathlib import Path"
    yield ""
    label = found.label
    helpers = ["GivenFile", *(["labels_of" if label.file else "labels_in"] if label else []), "write_lines"]
    yield f"from headrace.given import {', '.join(helpers)}"
    yield ""
    yield "GIVEN = GivenFile("
    yield f"    file={_text(str(found.file))},"
    yield f"    kind={_text(found.shape.kind)},"
    if found.shape.separator:
        yield f"    separator={_text(found.shape.separator)},"
    yield f"    encoding={_text(found.shape.encoding)},"
    for name, parts in found.joined.items():
        columns = ", ".join(map(_text, parts))
        yield f"    joined={{{_text(name)}: [{columns}]}},  # guess 0.8: one time in two columns"
    if found.numbered:
        yield f"    numbered={_text(found.numbered)},  # guess 0.3: the file has no id, and labels need one"
    converted = [guess for guess in found.guesses if guess.kind.convert]
    if converted:
        yield "    convert={  # what the contract has in another way than the file"
        for guess in converted:
            note = _comment(f"guess {guess.kind.sure:.1f}: {guess.kind.why}")
            yield f"        {_text(name_of(guess.place))}: {_text(guess.kind.convert)},  # {note}"
        yield "    },"
    time = found.time
    yield f"    time={_text(name_of(time.place))},"
    yield f"    time_format={_text(time.kind.time_format)},"
    yield f"    zone={_text(time.kind.zone)},"
    yield ")"
    if label is not None and label.file:
        yield from _labels_given(label)
    yield 'WORKLOADS = {"demo": "all of the file"}'
    yield ""
    yield ""
    yield "def records(workload, events=None):"
    yield '    """Return the records of each source; of the scored one the first `events`."""'
    yield "    rows = GIVEN.rows()[:events]"
    yield from _returned(found, label, labels)
    yield ""
    yield ""
    yield 'if __name__ == "__main__":'
    yield "    for path in write_lines(Path(sys.argv[1]), records(None)):"
    yield "        print(path)"


def _labels_given(label: LabelGuess) -> Iterator[str]:
    assert label.shape is not None
    yield "LABELS = GivenFile("
    yield f"    file={_text(label.file)},"
    yield f"    kind={_text(label.shape.kind)},"
    if label.shape.separator:
        yield f"    separator={_text(label.shape.separator)},"
    yield f"    encoding={_text(label.shape.encoding)},"
    convert = {name_of(label.id_place): label.id_convert} if label.id_convert else {}
    if label.time is not None and label.time.convert:
        convert[name_of(label.time_place)] = label.time.convert
    if convert:
        said = ", ".join(f"{_text(name)}: {_text(words)}" for name, words in convert.items())
        yield f"    convert={{{said}}},"
    yield f"    time={_text(name_of(label.time_place))},"
    if label.time is not None:
        yield f"    time_format={_text(label.time.time_format)},"
        yield f"    zone={_text(label.time.zone)},"
    yield ")"


def _returned(found: Inferred, label: LabelGuess | None, labels: str) -> Iterator[str]:
    if label is None:
        yield f"    return {{{_text(found.source)}: rows}}"
        return
    assert found.id is not None
    id = name_of(found.id.place)
    column = _text(name_of(label.place)) if label.place else '""'
    after = f"known_after_s={label.known_after_s:_}"
    if label.file:
        yield "    labels = labels_of("
        yield f"        LABELS, rows, given=GIVEN, column={column}, id={_text(name_of(label.id_place))},"
        yield f"        id_of_rows={_text(id)}, name={_text(found.id.name)},"
        if label.known_after_s:
            yield f"        {after},  # guess 0.2: the file does not say when a label became known"
        yield "    )"
    else:
        yield "    rows, labels = labels_in("
        yield f"        GIVEN, rows, column={column}, id={_text(id)}, name={_text(found.id.name)},"
        yield f"        {after},  # guess 0.2: the file does not say when a label became known"
        yield "    )"
    yield f"    return {{{_text(found.source)}: rows, {_text(labels)}: labels}}"


def _readme(found: Inferred, labels: str) -> Iterator[str]:
    yield f"# {found.source}: guessed from {found.file.name}"
    yield ""
    yield f"Made by `headrace init` from {found.rows:,} rows. Each guess stands in a comment beside its field"
    yield "with how sure it is (0 to 1) and what to change."
    yield ""
    yield "| file | says |"
    yield "|---|---|"
    yield f"| `contracts/{found.source}.yaml` | what is in the topic: id, time, keys, measures, categories |"
    if labels:
        yield f"| `contracts/{labels}.yaml` | what records turned out to be, and when that became known |"
    yield "| `features.py` | whose windows are kept, and what they hold" + (
        "; the model |" if labels else "; no model, for there are no labels |"
    )
    yield "| `policy.yaml` | decisions, and one rule to begin with |"
    yield "| `tests/first.yaml` | one record in, what it counts out; add what you expect of others |"
    yield f"| `generate.py` | reads `{found.file}` and converts what the contracts have in another way |"
    yield ""
    yield "```bash"
    yield "headrace check      # in this folder: everything that is wrong, with file and line"
    yield "headrace test       # what `tests/` says, without a server"
    yield "headrace demo       # on real Kafka and Redis: the file's records in, features and decisions out"
    yield "```"
    yield ""
    yield "| field | is | sure | why |"
    yield "|---|---|---|---|"
    for guess in found.guesses:
        why = _comment(guess.why).replace("|", "/")
        yield f"| `{guess.name}` | {guess.role} | {guess.sure:.1f} | {why} |"
    for each in found.left_out:
        yield f"| {_comment(each.partition(': ')[0])} | left out | | {_comment(each.partition(': ')[2])} |"


def _text(text: str) -> str:
    """Return a text as Python writes it between quotation marks."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)
