"""Makes `small_run.xz`, a short real chaos run as the oracle judges it; needs servers and about a minute.

    python -m tests.unit.load.make_small_run

To be made again when the shape of a dump or of the records between the stages changes.
"""

import lzma
import sys
import tempfile
from pathlib import Path

import msgspec

from load.chaos.plan import ChaosPlan
from load.chaos.run import run_chaos
from load.oracle.dump import Dump

FILE = Path(__file__).parent / "small_run.xz"
ANSWERS_MAX = 40
PLAN = ChaosPlan(
    seed=56, minutes=4.0, rate=20.0, faults_max=4, conflict_ratio=0.2, malformed_ratio=0.2,
    faults=(
        "malformed:events.customer", "malformed:events.terminal", "malformed:features.log",
        "malformed:transactions",
    ),
)  # fmt: skip


def read() -> Dump:
    """Return the run."""
    return msgspec.msgpack.decode(lzma.decompress(FILE.read_bytes()), type=Dump)


def write(dump: Dump) -> None:
    """Keep a run; of the HTTP API's answers some are enough."""
    less = msgspec.structs.replace(dump, answers=dump.answers[:ANSWERS_MAX])
    FILE.write_bytes(lzma.compress(msgspec.msgpack.encode(less), preset=9))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(run_chaos(PLAN, Path(folder) / "run").dump)
    sys.stdout.write(f"{FILE}: {FILE.stat().st_size:,} bytes\n")
