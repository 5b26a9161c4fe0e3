"""Which of our source files changed, for `headrace up --reload`."""

from pathlib import Path

from watchfiles import PythonFilter, watch

from runtime import launch

LOOK_MS = 10
GATHER_MS = 200  # an editor or a checkout writes several files at once


class SourceWatch:
    """Watches folders of Python files; asked now and then, it waits for nothing.

    Raises:
        FileNotFoundError: a folder is not there.
    """

    def __init__(self, *folders: Path) -> None:
        self._changes = watch(
            *folders, watch_filter=PythonFilter(), debounce=GATHER_MS, step=LOOK_MS,
            rust_timeout=LOOK_MS, yield_on_timeout=True, raise_interrupt=False,
        )  # fmt: skip

    @classmethod
    def of_ours(cls) -> "SourceWatch":
        """Return a watch over the packages of this installation."""
        return cls(*(launch.HOME / name for name in sorted(launch.PACKAGES) if (launch.HOME / name).is_dir()))

    def changed(self) -> list[Path]:
        """Return the files that were added, changed or deleted since the last call, by name."""
        return sorted({Path(path) for _, path in next(self._changes, set())})
