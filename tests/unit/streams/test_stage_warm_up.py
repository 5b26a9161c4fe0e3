"""After the warm-up nothing is compiled any more, whatever a stage or a reader of its rows does."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.timeout(300)  # kernels of a fresh checkout, on a busy machine


def met_anew(*words: str) -> list[str]:
    """Return the kernels that meet new kinds of arguments while a process of its own works."""
    command = [sys.executable, "-m", "tests.unit.streams.work_after_warm_up", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_no_kernel_is_compiled_in_the_event_path() -> None:
    assert met_anew() == []


def test_without_the_warm_up_they_would_be() -> None:
    cold = met_anew("cold")
    assert {"features.kernel.apply", "features.kernel.values_at", "features.idle.find_idle"} <= set(cold)
