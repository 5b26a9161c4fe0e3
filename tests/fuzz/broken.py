"""Decoders with a fault of each kind, so that a test can show that the runner finds it."""

import os
import signal

from tests.fuzz import decoders
from tests.fuzz.decoders import Decoder


class Crashes(Decoder):
    """Dies of some inputs."""

    seeds = (b"\x01\x02\x03\x04",)

    def check(self, data: bytes) -> str:
        """End the process as a stray pointer does."""
        if data[:1] == b"\xff":
            os.kill(os.getpid(), signal.SIGSEGV)
        return "value"


class Hangs(Decoder):
    """Never comes back from some inputs."""

    seeds = (b"\x01\x02\x03\x04",)

    def check(self, data: bytes) -> str:
        """Loop as a length that is believed does."""
        while data[:1] == b"\xff":
            pass
        return "value"


class Believes(Decoder):
    """The packed state's check as it was: nothing looks at the checksum."""

    def __init__(self) -> None:
        import features.state as state

        state.EntityState._check_sums = lambda *_: None  # type: ignore[method-assign]
        self._real = decoders.DECODERS["packed_tiles"]()
        self.seeds = self._real.seeds

    def check(self, data: bytes) -> str:
        """Check as the real one."""
        return self._real.check(data)


class Eats(Decoder):
    """Takes more memory than there is for some inputs."""

    seeds = (b"\x01\x02\x03\x04",)

    def check(self, data: bytes) -> str:
        """Believe a length: 16 GiB of some inputs, 16 MiB of the others."""
        return "value" if bytearray((16 << 30) if data[:1] == b"\xff" else (16 << 20)) else ""


class Raises(Decoder):
    """Ends in an error without a code from every input."""

    seeds = (b"\x01\x02\x03\x04",)

    def check(self, data: bytes) -> str:
        """Read a byte that is not there."""
        return data.decode("ascii")[len(data)]


DECODERS = {"raises": Raises, "crashes": Crashes, "hangs": Hangs, "believes": Believes, "eats": Eats}
