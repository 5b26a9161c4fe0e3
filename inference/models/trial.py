"""Try a model in a process that may die: load it, score its golden rows, compare.

LightGBM ends the process on some texts and loops on others, so the serving process never sees a text that
has not been through this. Run as a process of its own (`runtime/launch.py`): the text and the golden rows
come in on stdin (the very bytes that were checked, not a path that may change), a line of JSON for each
trial, and a line goes out for it.
"""

import contextlib
import os
import resource
import subprocess
import sys
import threading

import msgspec

from contracts.errors import ModelError
from inference.models.manifest import GOLDEN_FILE, MODEL_FILE, Golden
from runtime import launch

TRIAL_S = 60
CPU_S = 30
END_S = 2.0
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
    with Sandbox() as sandbox:
        sandbox.attempt(text, golden, timeout_s)


class Sandbox:
    """A process that may die, for one trial after another; one that died is replaced by the next trial."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0

    def __enter__(self) -> "Sandbox":
        """Return itself; the process begins with the first trial."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()

    def attempt(self, text: str, golden: Golden, timeout_s: float = TRIAL_S) -> None:
        """Load the text there and compare its golden scores.

        Raises:
            ModelError: E_MODEL_CRASH, E_MODEL_TIMEOUT, E_MODEL_LOAD or E_MODEL_GOLDEN.
        """
        line = self._answer(msgspec.json.encode(Trial(text, golden)) + b"\n", timeout_s)
        try:
            outcome = msgspec.json.decode(line, type=Outcome)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._end()
            raise _refused(
                "E_MODEL_CRASH", f"the trial process answered what is no answer: {error}"
            ) from error
        if outcome.error or outcome.difference is None:
            raise _refused("E_MODEL_LOAD", outcome.error)
        if not outcome.difference <= SCORE_TOLERANCE:
            raise _refused(
                "E_MODEL_GOLDEN", f"golden rows differ by up to {outcome.difference:g}", GOLDEN_FILE
            )

    def _answer(self, question: bytes, timeout_s: float) -> bytes:
        """Return the process's line; whatever else it does, it is ended and the trial is lost."""
        process = self._running()
        assert process.stdin is not None, "it was started with pipes"
        assert process.stdout is not None, "it was started with pipes"
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            process.kill()

        late = threading.Timer(timeout_s, give_up)
        late.start()
        try:
            process.stdin.write(question)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            late.cancel()
        if line.endswith(b"\n"):
            return line
        code = self._end()
        if is_late.is_set():
            raise _refused("E_MODEL_TIMEOUT", f"did not load and score within {timeout_s:g} s")
        raise _refused("E_MODEL_CRASH", f"ended the trial process with {code}")

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            command = launch.command("inference.models.trial")
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                raise _refused("E_MODEL_TRIAL", f"no trial process: {error.strerror}", command[0]) from error
            self.started += 1
        return self._process

    def _end(self) -> int | None:
        """End the process and return its exit code, None where there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            assert process.stdin is not None, "it was started with pipes"
            process.stdin.close()  # an idle one ends by itself; one that is busy is not waited for
            process.wait(END_S)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode


def _refused(code: str, what: str, where: str = MODEL_FILE) -> ModelError:
    return ModelError(code, what, where, "the present model stays; train again or promote another version")


def main() -> None:
    """Answer trials on stdin, a line each; limits first, since no text is trusted."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what LightGBM prints is no answer
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, hard))
        answers.write(msgspec.json.encode(_outcome(msgspec.json.decode(line, type=Trial))) + b"\n")
        answers.flush()


def _outcome(trial: Trial) -> Outcome:
    import numpy as np

    from inference.models.bare_lightgbm import lightgbm

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
