"""A project from somebody's file: guessed, written, checked; and what was guessed, as a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.project.check import check_project
from headrace.given.given import name_of
from headrace.init.guess import Guess
from headrace.init.infer import Inferred
from headrace.init.write_project import project_files

DOUBTFUL = 0.6


def begin_from(found: Inferred, folder: Path, project: str) -> list[str]:
    """Write an inferred project into an empty folder; return what `check` finds wrong with it, in lines."""
    for path, text in project_files(found, project).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [f"{problem.file}:{problem.line}: {problem.code}: {problem.what}; {problem.advice}"
            for problem in check_project(folder).problems]  # fmt: skip


def shown(found: Inferred) -> Iterator[str]:
    """Yield the guesses as a table, the least sure marked; what was left out; what to look at first."""
    rows = [("field", "of the file", "is", "type", "sure", "why")]
    rows += [
        (guess.name, name_of(guess.place), guess.role, _type(guess),
         f"{guess.sure:.1f}{'?' if guess.sure < DOUBTFUL else ''}", guess.why)
        for guess in found.guesses
    ]  # fmt: skip
    widths = [min(28, max(len(row[at]) for row in rows)) for at in range(5)]
    for row in rows:
        yield "  ".join([*(row[at][: widths[at]].ljust(widths[at]) for at in range(5)), row[5]]).rstrip()
    if found.label is not None:
        yield f"labels: guess {found.label.sure:.1f}: {found.label.why}"
        yield f"  {found.label.change}"
        if found.label.joined < 1:
            yield f"  {1 - found.label.joined:.0%} of them name no record of {found.file.name}"
    for each in found.left_out:
        yield f"left out: {each}"
    if found.broken:
        shown = ", ".join(map(str, found.broken[:5]))
        yield f"left out: {len(found.broken)} lines that are no records: {shown}"
    doubtful = [guess for guess in found.guesses if guess.sure < DOUBTFUL]
    if doubtful:
        yield "look at these first:"
        for guess in doubtful:
            yield f"  {guess.name}: {guess.why}" + (f"; {guess.change}" if guess.change else "")


def _type(guess: Guess) -> str:
    said = f"decimal .{guess.kind.scale}" if guess.kind.type == "decimal" else guess.kind.type
    return f"{said}, personal" if guess.personal else said


def as_json(found: Inferred) -> dict[str, Any]:
    """Return the guesses for programs."""
    return {
        "file": str(found.file), "rows": found.rows, "source": found.source, "kind": found.shape.kind,
        "fields": [
            {"name": guess.name, "of": name_of(guess.place), "role": guess.role, "type": guess.kind.type,
             "sure": round(guess.sure, 2), "why": guess.why, "change": guess.change,
             "personal": guess.personal, "convert": guess.kind.convert}
            for guess in found.guesses
        ],
        "labels": None if found.label is None else {
            "positive": found.label.positive, "values": list(found.label.values), "sure": found.label.sure,
            "why": found.label.why, "known_after_s": found.label.known_after_s or None,
        },
        "left_out": found.left_out, "broken_lines": found.broken,
    }  # fmt: skip
