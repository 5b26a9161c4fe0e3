"""Try a model in a process that may die: load it, score its golden rows, compare.

LightGBM ends the process on some texts and loops on others, so the serving process never sees a text that
has not been through this. Run as `python -m inference.model_trial`: the text and the golden rows come in
on stdin (the very bytes that were checked, not a path that may change), one line of JSON goes out.
"""

import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from contracts.errors import ModelError
from inference.manifest import GOLDEN_FILE, MODEL_FILE, Golden

TRIAL_S = 60
CPU_S = 30
MEMORY_BYTES = 4 << 30
SCORE_TOLERANCE = 1e-12  # the sums are the same; the last bits of exp() may be another library's


class Trial(msgspec.Struct, frozen=True):
    """What the process is given."""

    text: str
    golden: Golden


class Outcome(msgspec.Struct, frozen=True):
    """What it answers: the largest difference of a golden score, or the error."""

    difference: float | None = None
    error: str = ""


def try_model(text: str, golden: Golden, timeout_s: float = TRIAL_S) -> None:
    """Load the text in another process and compare its golden scores.

    Raises:
        ModelError: E_MODEL_CRASH, E_MODEL_TIMEOUT, E_MODEL_LOAD or E_MODEL_GOLDEN.
    """
    command = [sys.executable, "-m", "inference.model_trial"]
    here = str(Path(__file__).resolve().parent.parent)
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(Trial(text, golden)), capture_output=True, timeout=timeout_s,
            cwd=here, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _refused("E_MODEL_TIMEOUT", f"did not load and score within {timeout_s:g} s") from error
    except OSError as error:
        raise _refused("E_MODEL_TRIAL", f"no trial process: {error.strerror}", command[0]) from error
    if done.returncode != 0 or not done.stdout:
        raise _refused("E_MODEL_CRASH", f"ended the trial process with {done.returncode}")
    outcome = msgspec.json.decode(done.stdout.splitlines()[-1], type=Outcome)
    if outcome.error or outcome.difference is None:
        raise _refused("E_MODEL_LOAD", outcome.error)
    if not outcome.difference <= SCORE_TOLERANCE:
        raise _refused("E_MODEL_GOLDEN", f"golden rows differ by up to {outcome.difference:g}", GOLDEN_FILE)


def _refused(code: str, what: str, where: str = MODEL_FILE) -> ModelError:
    return ModelError(code, what, where, "the present model stays; train again or promote another version")


def main() -> None:
    """Answer one trial on stdin; limits first, since the text is not trusted."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    sys.stdout.buffer.write(msgspec.json.encode(_outcome(trial)) + b"\n")


def _outcome(trial: Trial) -> Outcome:
    import lightgbm
    import numpy as np

    vectors = np.array(trial.golden.vectors, dtype=np.float64)
    try:
        booster = lightgbm.Booster(model_str=trial.text)
        scores = np.asarray(booster.predict(vectors, num_threads=1))
        raw = np.asarray(booster.predict(vectors[:8], num_threads=1, raw_score=True))
        added = np.asarray(booster.predict(vectors[:8], num_threads=1, pred_contrib=True))
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        return Outcome(error=str(error))
    wanted = np.array(trial.golden.scores)
    if scores.shape != wanted.shape or not np.isfinite(scores).all():
        return Outcome(error=f"{scores.shape} scores, or some not finite, for {wanted.shape} golden rows")
    if not np.allclose(added.sum(axis=1), raw, rtol=0, atol=1e-6):
        return Outcome(error="contributions do not add up to the raw score")
    return Outcome(difference=float(np.abs(scores - wanted).max()))


if __name__ == "__main__":
    main()
