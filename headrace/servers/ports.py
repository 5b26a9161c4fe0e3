"""Free ports for local servers, outside the range from which the kernel takes ports of outgoing connections.

A server that restarts must get its port again; a port of the kernel's range might have gone to a client.
"""

import os
import random
import socket
import time
from collections.abc import Iterator

from contracts.errors import ClusterError, ConfigError

DEFAULT = range(20_000, 30_000)


def from_environment() -> range:
    """Return the ports of HEADRACE_PORTS, or the default range."""
    return parse(os.environ["HEADRACE_PORTS"]) if "HEADRACE_PORTS" in os.environ else DEFAULT


def parse(text: str) -> range:
    """Read `first-last`.

    >>> parse("19100-19199")
    range(19100, 19200)
    """
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) <= 65_535):
        raise ConfigError(
            "E_CONFIG_PORTS", "not a range of ports", f"HEADRACE_PORTS={text}", "write 20000-29999"
        )
    return range(int(first), int(last) + 1)


def free(ports: range) -> Iterator[int]:
    """Yield free ports in random order, so that two checkouts that start together rarely meet.

    Raises:
        ClusterError: E_PORTS, none is left.
    """
    for port in random.sample(ports, len(ports)):
        if is_free(port):
            yield port
    raise ClusterError("E_PORTS", "no port is free", f"{ports.start}-{ports.stop - 1}", "set HEADRACE_PORTS")


def is_free(port: int, wait_s: float = 0.0) -> bool:
    """Return whether a server could listen on the port, now or within `wait_s`."""
    deadline_s = time.monotonic() + wait_s
    while not (free_now := _can_bind(port)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return free_now


def _can_bind(port: int) -> bool:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
