"""A project's own generator: `generate.py` in its folder, loaded by its path as `features.py` is.

It declares `WORKLOADS`, what is made by name, and `records(workload, events)`, which returns the records of
each source in the order in which they are delivered (docs/projects.md).
"""

import dataclasses
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from contracts.errors import ConfigError, HeadraceError
from contracts.problem import nearest_name
from features.project.load import run_file
from headrace.traffic.form import Form, form_of
from headrace.traffic.input_files import DocumentRecords, Records, TableRecords

FILE = "generate.py"
USUAL = "demo"


class Generator:
    """The generator of a project's folder.

    >>> from runtime.project_folder import INSTALLED
    >>> Generator.of(INSTALLED).names[:2]
    ('demo', 'small')
    """

    def __init__(self, path: Path, module: ModuleType) -> None:
        self._path, self._module = path, module

    @classmethod
    def of(cls, folder: Path) -> "Generator":
        """Load the generator of a project.

        Raises:
            ConfigError: E_WORKLOAD_NONE, the project has none; E_WORKLOAD_PYTHON, it cannot be run.
        """
        path = folder / FILE
        if not path.is_file():
            raise ConfigError(
                "E_WORKLOAD_NONE", f"the project has no {FILE}", str(folder),
                "give its data as SOURCE=FILE, or write a generator (docs/projects.md)",
            )  # fmt: skip
        try:
            module = run_file(path)
        except HeadraceError:
            raise
        except Exception as error:  # the file is a stranger's program: whatever it raises is shown
            raise _failed(path, error) from error
        if not isinstance(getattr(module, "WORKLOADS", None), Mapping) or not callable(
            getattr(module, "records", None)
        ):
            raise ConfigError(
                "E_WORKLOAD_NONE", f"{FILE} declares no WORKLOADS by name, or no records(workload, events)",
                str(path), "declare both (docs/projects.md)",
            )  # fmt: skip
        return cls(path, module)

    @property
    def names(self) -> tuple[str, ...]:
        """The workloads' names, in the order declared."""
        return tuple(self._module.WORKLOADS)

    def chosen(self, name: str | None) -> str:
        """Return the name of a workload; of none the one that is called demo, else the first.

        Raises:
            ConfigError: E_WORKLOAD_NAME.
        """
        if name is None and self.names:
            return USUAL if USUAL in self.names else self.names[0]
        if name not in self.names:
            near = nearest_name(name or "", self.names)
            raise ConfigError(
                "E_WORKLOAD_NAME", "no such workload", name or "",
                f"did you mean {near}?" if near else f"choose one of {', '.join(self.names)}",
            )  # fmt: skip
        return name

    def records(
        self, name: str | None, events: int | None, forms: Mapping[str, Form], seed: int | None = None
    ) -> dict[Form, Records]:
        """Return the records of each source of a workload, in the order of `forms`.

        Args:
            events: about how many scored records to make; None for as many as the workload has.
            seed: in place of the workload's own, where it has one; None for that.

        Raises:
            ConfigError: E_WORKLOAD_NAME, E_WORKLOAD_PYTHON; E_WORKLOAD_RECORDS, they are of no source of the
                project, or no records.
        """
        workload = self._module.WORKLOADS[self.chosen(name)]
        if seed is not None:
            workload = seeded(workload, seed)
        try:
            made = self._module.records(workload, events)
        except HeadraceError:
            raise
        except Exception as error:  # as above
            raise _failed(self._path, error) from error
        if not isinstance(made, Mapping):
            raise self._wrong(f"records() returns {type(made).__name__}, not a mapping of sources")
        by_form = {form_of(forms, str(source)): rows for source, rows in made.items()}
        return {form: self._records(form, by_form[form]) for form in forms.values() if form in by_form}

    def _records(self, form: Form, made: Any) -> Records:
        rows, moment_ms = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        moments = None if moment_ms is None else np.asarray(moment_ms, np.int64)
        if moments is not None and (moments.shape != (len(rows),) or bool((np.diff(moments) < 0).any())):
            raise self._wrong(f"the moments of {form.name} are not one a record, or they decrease")
        if isinstance(rows, pa.Table):
            return TableRecords(rows, form, moments)
        if isinstance(rows, Sequence) and all(isinstance(row, dict) for row in rows):
            return DocumentRecords(rows, form, moments)
        raise self._wrong(f"records of {form.name} are neither a list of documents nor an Arrow table")

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError("E_WORKLOAD_RECORDS", what, str(self._path), "return records by source")


def seeded(workload: Any, seed: int) -> Any:
    """Return a workload with another `seed`; one that has none, or cannot be copied, as it is.

    >>> seeded({"seed": 1, "days": 3}, 7), seeded({"days": 3}, 7)
    ({'seed': 7, 'days': 3}, {'days': 3})
    """
    if isinstance(workload, Mapping):
        return {**workload, "seed": seed} if "seed" in workload else workload
    if not hasattr(workload, "seed"):
        return workload
    if dataclasses.is_dataclass(workload):
        return dataclasses.replace(workload, seed=seed)  # type: ignore[type-var]  # no class: it has a value
    if isinstance(workload, msgspec.Struct):
        return msgspec.structs.replace(workload, seed=seed)
    return workload._replace(seed=seed) if hasattr(workload, "_replace") else workload


def _failed(path: Path, error: Exception) -> ConfigError:
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), 1)
    what = f"{type(error).__name__}: {error!s:.200}"
    return ConfigError("E_WORKLOAD_PYTHON", what, f"{path}:{line}", "correct the line")
