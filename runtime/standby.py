"""A spare: a worker's process that has imported all it needs and waits for its predecessor's end.

Importing numba, Faust and LightGBM takes longer than all else in a restart. A supervisor that keeps spares
(`headrace/supervisor.py`) starts them with HEADRACE_STANDBY set and a pipe as their standard input: one byte
means "begin", the pipe's end means "you are not needed".
"""

import os

STANDBY = "HEADRACE_STANDBY"
STDIN = 0


def is_spare() -> bool:
    """Return whether this process was started as a spare and has not begun yet."""
    return STANDBY in os.environ


def await_turn() -> None:
    """Wait until this process is to begin; end it when it is not needed. Nothing to wait for but in a spare.

    To be called after the imports and before anything that only one worker at a time may do or hold.
    """
    if os.environ.pop(STANDBY, None) is None:
        return
    if not os.read(STDIN, 1):
        os._exit(0)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, STDIN)
    os.close(silence)
