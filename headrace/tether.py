"""Run a command that the kernel kills when its parent dies: `python tether.py PARENT_PID COMMAND...`.

Standard library only and run with `-I -S`, since it stands before the start of every server and worker.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent ended before the command began")
    os.execv(command[0], command)  # noqa: S606  # becoming the command is what this file is for


if __name__ == "__main__":
    main()
