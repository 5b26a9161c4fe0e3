"""The process that feeds a decoder: it says before each input which it is, so that a death is found.

`python -m tests.fuzz.child DECODER SEED FIRST COUNT PROGRESS REPORT [BROKEN]`: PROGRESS is a file of 8 bytes,
REPORT gets one JSON line a fault and a last line of counts. With BROKEN the decoder is one of `broken`.
"""

import faulthandler
import json
import mmap
import resource
import struct
import sys
from collections import Counter
from pathlib import Path

import structlog

from tests.fuzz.mutate import mutated

MEMORY_BYTES = 3 << 30  # of address space, beside what the process holds once the decoder is made
FAULTS_MAX = 20


def main(argv: list[str]) -> None:
    """Feed inputs [first, first + count) to a decoder."""
    name, seed, first, count, progress, report = argv[:6]
    from tests.fuzz import broken, decoders  # imports the service: what comes before is the parent's part

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: ""])
    source = broken.DECODERS if argv[6:] else decoders.DECODERS
    decoder = source[name]()
    limit_bytes = _held_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()
    outcomes: Counter[str] = Counter()
    faults = 0
    with Path(progress).open("r+b") as file, Path(report).open("a") as lines:
        place = mmap.mmap(file.fileno(), 8)
        for number in range(int(first), int(first) + int(count)):
            place[:8] = struct.pack("<q", number)
            data = mutated(decoder.seeds, int(seed), number)
            try:
                outcomes[decoder.check(data)] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is: an error without a code is the fault
                faults += 1
                what = {"number": number, "fault": repr(error)[:400], "input": data[:4000].hex()}
                lines.write(json.dumps(what) + "\n")
                lines.flush()
                if faults >= FAULTS_MAX:
                    break
        place[:8] = struct.pack("<q", number + 1)
        lines.write(json.dumps({"outcomes": dict(outcomes)}) + "\n")


def _held_bytes() -> int:
    """Return the address space of this process: what threads and compiled code reserve differs by machine."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
