"""The peers' own environment: their pins are not ours, so they live in `.headrace/peers-venv`.

Made on first use from `requirements.lock`, hashes checked, and again when the lock changes.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from contracts.errors import ClusterError

LOCK = Path(__file__).parent / "requirements.lock"
FOLDER = Path(".headrace") / "peers-venv"


def python(root: Path) -> Path:
    """Return the interpreter that has the peers, installing them when they are not there.

    Raises:
        ClusterError: E_BENCH_PEERS, they cannot be installed.
    """
    venv = root / FOLDER
    mark, wanted = venv / ".lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    interpreter = venv / "bin" / "python"
    if mark.exists() and mark.read_text() == wanted:
        return interpreter
    sys.stderr.write(f"installing Quix Streams and Bytewax into {venv}, about a minute the first time\n")
    install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [*install, "--only-binary=:all:", "--require-hashes", "-r", str(LOCK)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(
                "E_BENCH_PEERS", f"the peers cannot be installed: {done.stderr[-800:]}", str(venv),
                "see that the package registry answers, and run the scenario again",
            )  # fmt: skip
    mark.write_text(wanted)
    return interpreter
