"""Says at the start of a worker which test hooks the environment asks for, and whether they work here."""

import structlog

from contracts.crash_points import armed, in_checkout

log = structlog.get_logger("headrace.test_hooks")


def announce() -> None:
    """Log each test hook that is asked for: armed in a checkout, ignored anywhere else."""
    for name, value in armed().items():
        if in_checkout():
            log.warning("test_hook_armed", hook=name, value=value)
        else:
            log.warning("test_hook_ignored", hook=name, value=value, reason="hooks work in a checkout alone")
