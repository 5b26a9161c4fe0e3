"""The lake of imported records: what the archive of a stream in this order would have written.

It lies in the run's own lake, under `imported/`, and is read as any lake is. Until it is whole it stands
under a hidden name. Raw records lie in the order of their files, rows of the log in the one order of all.
"""

import shutil
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from contracts.frame import ROW_BITS, Columns, length
from contracts.frame_check import rules_of
from contracts.meaning import Meanings
from features.meaning import meaning_of
from features.project.running import RunningProject
from features.seeded import IMPORTED, Bounds
from headrace.importing.chain import Parts, RefusedRow
from headrace.importing.judging import JudgedPart
from headrace.importing.letters import RAW_PARTITION, ImportLetter, Origins, letter_table
from runtime.atomic_file import move_into_place
from runtime.meaning_note import note
from streams.archive.frames import feature_table
from streams.archive.parquet_files import file_path, write_whole

ROWS_A_FLUSH = 250_000  # of the log, over all its partitions


_Waiting = dict[int, dict[int, list[Columns]]]  # rows of the log by partition and source


class ImportedLake:
    """Writes the lake under a hidden name, where raw records are put by others; `publish` makes it seen.

    Args:
        lake: the folder of the run's lake.
        at_ms: the moment as of which records were judged; it stands for when the broker had them.
    """

    def __init__(self, lake: Path, project: RunningProject, at_ms: int) -> None:
        self.folder, self.hidden = lake / IMPORTED, lake / f".{IMPORTED}"
        self._project, self._pipeline, self._at_ms = project, project.pipeline, at_ms
        self._meanings = Meanings(tuple(map(meaning_of, project.entities)))
        self._specified = rules_of(project.pipeline).specified
        self._origins = {source.name: Origins() for source in project.pipeline.sources}
        self._waiting: _Waiting = {}
        self._writer, self._written = ThreadPoolExecutor(1), deque[Future[None]]()
        self._rows = 0
        self._letters: dict[int, list[ImportLetter]] = {}
        self._log_before: dict[int, int] = {}
        self.log_rows = {source.name: 0 for source in self._pipeline.sources}
        self.codes: dict[str, Counter[str]] = {source.name: Counter() for source in self._pipeline.sources}
        shutil.rmtree(self.hidden, ignore_errors=True)  # what a killed import left
        self.hidden.mkdir(parents=True)

    def add(self, judged: JudgedPart) -> None:
        """Take note of a part whose raw records are written, and keep what was refused of it."""
        self._origins[judged.source].add(str(judged.path), judged.size)
        for letter in judged.letters:
            self._refuse(letter)

    def add_log(self, log: Mapping[int, Parts]) -> None:
        """Take rows of the log in, by partition and source."""
        for partition, parts in log.items():
            for number, some in parts.items():
                waiting = self._waiting.setdefault(partition, {}).setdefault(number, [])
                for rows in some:
                    known = {name: column for name, column in rows.items() if name in self._specified}
                    waiting.append({"offset": rows["pos"] >> ROW_BITS, **known})
                    self._rows += length(rows)
                    self.log_rows[self._pipeline.by_number[number].name] += length(rows)
        if self._rows >= ROWS_A_FLUSH:
            self._flush()

    def refuse(self, rows: Sequence[RefusedRow]) -> None:
        """Keep what the first stage refused; its bytes are those of the raw record."""
        for row in rows:
            self._refuse(ImportLetter(row.kind, row.offset, row.code, row.reason, row.stage, None, None))

    def publish(self) -> None:
        """Write all that waits, and give the lake its name, in place of one before."""
        self._flush()
        while self._written:
            self._written.popleft().result()
        for number, letters in self._letters.items():
            source = self._pipeline.by_number[number]
            topic = source.topic
            table = letter_table(letters, topic, self._origins[source.name], self._at_ms)
            path = file_path(self.hidden, f"{topic}_dlq", RAW_PARTITION, 0)
            write_whole(table, path, 0, table.num_rows)
        for meaning in self._meanings.own.values():
            note(self.hidden, meaning)
        shutil.rmtree(self.folder, ignore_errors=True)
        move_into_place(self.hidden, self.folder)

    def bounds(self, below: dict[str, dict[int, int]]) -> Bounds:
        """Return how far the lake goes: all of it counts."""
        raw = {
            source.topic: {RAW_PARTITION: count} if (count := self.rows[source.name]) else {}
            for source in self._pipeline.sources
        }
        return Bounds(raw_before=raw, log_before=dict(sorted(self._log_before.items())), below=below)

    @property
    def rows(self) -> dict[str, int]:
        """How many records of each source were read."""
        return {name: origins.total for name, origins in self._origins.items()}

    def _refuse(self, letter: ImportLetter) -> None:
        self._letters.setdefault(letter.kind, []).append(letter)
        self.codes[self._pipeline.by_number[letter.kind].name][letter.code] += 1

    def _flush(self) -> None:
        """Have what waits written while the next rows are folded; at most one flush is behind."""
        waiting, self._waiting, self._rows = self._waiting, {}, 0
        while self._written:
            self._written.popleft().result()
        self._written.append(self._writer.submit(self._write, waiting))

    def _write(self, waiting: _Waiting) -> None:
        for partition, by_source in sorted(waiting.items()):
            first = min(int(parts[0]["offset"][0]) for parts in by_source.values())
            behind = max(int(parts[-1]["offset"][-1]) for parts in by_source.values()) + 1
            names = [self._pipeline.log_dataset(self._pipeline.by_number[number]) for number in by_source]
            for (number, parts), name in zip(by_source.items(), names, strict=True):
                table = feature_table(parts, self._pipeline.by_number[number], self._meanings)
                write_whole(table, file_path(self.hidden, name, partition, first), first, behind, names)
            self._log_before[partition] = behind
