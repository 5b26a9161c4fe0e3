"""The demo's face: a live table on a screen, a line every few seconds elsewhere."""

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from headrace.demo.progress import Progress

FRAMES_PER_S = 4
LINE_SECONDS = 5.0


class View:
    """Shows a `Progress` while the `with` block runs; `say` prints a line above it."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._live: Live | None = None
        self._ending = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, name="view", daemon=True)

    def __enter__(self) -> "View":
        if self._console.file.isatty():
            self._live = Live(
                console=self._console,
                refresh_per_second=FRAMES_PER_S,
                get_renderable=self.table,
                transient=True,
            )
            self._live.start()
        else:
            self._lines.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._live is not None:
            self._live.stop()
        elif self._lines.is_alive():
            self._lines.join(1.0)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        elapsed_s = time.monotonic() - self._progress.began_s
        self._console.print(f"[dim]{elapsed_s:6.1f} s[/dim]  {text}", highlight=False, soft_wrap=True)

    def phase(self, name: str, text: str) -> None:
        """Begin a phase."""
        self._progress.phase = name
        self.say(text)

    def table(self) -> Table:
        """Return the present frame."""
        seen = self._progress
        table = Table(title=f"headrace demo · {seen.phase}", expand=False, show_header=False)
        table.add_column(justify="right", style="bold")
        table.add_column()
        for name, value in self._rows():
            table.add_row(name, value)
        return table

    def _rows(self) -> list[tuple[str, str]]:
        seen = self._progress
        latency = seen.latency_ms()
        rows = [
            ("sent", f"{seen.sent:,} of {seen.total:,}"),
            ("predictions", f"{seen.predicted:,}  ({seen.rate(time.monotonic()):,.0f} a second)"),
            ("lag", f"{seen.lag:,} events"),
            ("decisions", "  ".join(f"{name} {count:,}" for name, count in seen.decisions().items())),
            ("model", seen.model_version or "none yet: rules alone"),
        ]
        if latency:
            rows.append(("latency ms", "  ".join(f"{name} {value:.0f}" for name, value in latency.items())))
        if seen.observed is not None:
            rows.append(("dead letters", f"{len(seen.observed.dead_letters):,}"))
            rows.append(("drift incidents", f"{seen.observed.drift_incidents:,}"))
        return rows

    def _print_lines(self) -> None:
        """Tell what has changed every few seconds; nothing while nothing moves."""
        told = (0, 0)
        while not self._ending.wait(LINE_SECONDS):
            now = (self._progress.sent, self._progress.predicted)
            if now != told:
                told = now
                self.say(" · ".join(f"{name} {value}" for name, value in self._rows()))
