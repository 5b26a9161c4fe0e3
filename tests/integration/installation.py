"""An installation as a user has it: the wheel in an environment of its own, in a folder outside any clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.launch import PACKAGES
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
UP_TIMEOUT_S = 240.0  # a machine that is busy, or kernels that no earlier test has compiled


class Installation:
    """Builds the wheel of this checkout and installs it; its dependencies are those of the tests."""

    def __init__(self, folder: Path) -> None:
        self._source, self._venv = folder / "source", folder / "venv"
        self._copy_source()
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run(
            [
                *pip,
                "wheel",
                "--no-deps",
                "--no-build-isolation",
                "--wheel-dir",
                str(folder),
                str(self._source),
            ]
        )
        run([sys.executable, "-m", "venv", "--without-pip", str(self._venv)])
        python, wheel = str(self._venv / "bin" / "python"), str(next(folder.glob("*.whl")))
        run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel])
        self.packages = next(self._venv.glob("lib/python3*/site-packages"))
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        self.headrace = str(self._venv / "bin" / "headrace")
        redis = Path(sys.executable).parent / "redis-server"
        if redis.exists():
            (self._venv / "bin" / "redis-server").symlink_to(redis)
        self._take_kernels_over()

    def missing(self) -> list[str]:
        """Return the files of our packages that the installation lacks."""
        files = (path for package in PACKAGES for path in (CHECKOUT / package).rglob("*") if path.is_file())
        ours = {path.relative_to(CHECKOUT) for path in files if "__pycache__" not in path.parts}
        return sorted(str(path) for path in ours if not (self.packages / path).exists())

    def _copy_source(self) -> None:
        nothing_built = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for package in PACKAGES:
            shutil.copytree(CHECKOUT / package, self._source / package, ignore=nothing_built)
        for name in ("pyproject.toml", "LICENSE", "README.md"):
            shutil.copy(CHECKOUT / name, self._source / name)

    def _take_kernels_over(self) -> None:
        """Spare the test the compilation of kernels that this checkout has: the sources are the same."""
        for kernel in CHECKOUT.glob("*/**/__pycache__/*.nb[ic]"):
            place = self.packages / kernel.relative_to(CHECKOUT)
            if place.parent.parent.is_dir():  # else of a folder of before, whose kernels are still there
                place.parent.mkdir(exist_ok=True)
                shutil.copy(kernel, place)
        for path in self.packages.glob("*/**/*.py"):
            origin = CHECKOUT / path.relative_to(self.packages)
            if origin.exists():
                shutil.copystat(origin, path)


class Place:
    """A user's folder, which has packages called like ours and one called `load`, as PYTHONPATH has too."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.folder, self._headrace = folder, installation.headrace
        for name in (*PACKAGES, "load"):
            self._shadow(folder / name, name)
            if name != "headrace":  # who puts that on PYTHONPATH means it
                self._shadow(folder / "path" / name, name)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        cache = os.environ.get("HEADRACE_CACHE", str(CHECKOUT / ".headrace" / "cache"))
        self.environment = {**ours, "PYTHONPATH": str(folder / "path"), "HEADRACE_CACHE": cache}

    @staticmethod
    def _shadow(folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"raise SystemExit('shadowed by {name}')")

    def run(self, *words: str, code: int = 0, timeout_s: float = 240.0) -> str:
        """Run a command, which must end with `code` and without a traceback; return what it printed."""
        done = subprocess.run(
            [self._headrace, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, f"headrace {' '.join(words)} ended with {done.returncode}:\n{said}"
        assert "Traceback" not in said
        assert "shadowed" not in said
        return done.stdout

    @contextmanager
    def up(self, *words: str) -> Iterator[Path]:
        """Run `headrace up` until the block ends; the file holds what it says."""
        log = self.folder / "up.log"
        with log.open("wb") as output, subprocess.Popen(
            [self._headrace, "up", *words], cwd=self.folder, env=self.environment,
            stdout=output, stderr=output,
        ) as process:  # fmt: skip
            try:
                until(
                    lambda: "up; Ctrl-C" in log.read_text() or process.poll() is not None,
                    timeout_s=UP_TIMEOUT_S, what="up is up",
                )  # fmt: skip
                assert process.poll() is None, log.read_text()
                yield log
            finally:
                self.run("down")
                process.wait(90)


def run(command: list[str]) -> None:
    """Run a command that must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
