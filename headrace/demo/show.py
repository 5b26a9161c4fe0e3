"""The whole of a demo: input, stack, view, driver, closing words; and a clean end whatever happens."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import orjson
from rich.console import Console

from features.project.running import project_of_process
from headrace.demo.closing import closing_words
from headrace.demo.driver import Driver
from headrace.demo.input import load_input
from headrace.demo.plan import DemoPlan
from headrace.demo.progress import Progress
from headrace.demo.stack import DemoStack
from headrace.demo.view import View
from runtime import environment

INTERRUPTED = 130


def show(plan: DemoPlan, json_file: Path | None) -> int:
    """Run a demo and return its exit code: 0 when everything adds up."""
    console = Console()
    progress = Progress()
    with _interruptible(), View(progress, console) as view:
        try:
            project = project_of_process()
            view.phase("input", _input_words(plan))
            given = load_input(plan, project)
            name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
            view.phase("servers", f"Kafka, Redis and the workers of run {name}")
            with DemoStack(environment.root(), name, plan.partitions) as stack:
                view.say(f"up in {time.monotonic() - progress.began_s:.1f} s; logs in {stack.run.logs}")
                summary = Driver(plan, given, stack, view, progress, project).run()
                view.phase("stopping", "stopping the workers; the archive writes what is left")
                stack.stop_workers()
                summary["explained"] = stack.explain(summary["explained"])
        except KeyboardInterrupt:
            console.print("\ninterrupted: nothing runs any more; .headrace/ is kept")
            return INTERRUPTED
    summary["seconds"]["whole"] = round(time.monotonic() - progress.began_s, 1)
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
    closing_words(summary, console)
    return 1 if summary["problems"] else 0


def _input_words(plan: DemoPlan) -> str:
    if plan.files:
        return f"reading {', '.join(plan.files)}"
    named = f" `{plan.workload}`" if plan.workload else ""
    return f"generating the workload{named}, the same on every machine"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that its workers are stopped too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
