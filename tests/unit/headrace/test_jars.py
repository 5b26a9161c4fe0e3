"""The jars: what the lock names and nothing else."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contracts.errors import ClusterError
from headrace.servers import jars

GOOD = b"not really a jar, but with the right checksum"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on loopback with one jar, named by the environment, and a lock that asks for it."""
    folder = tmp_path / "repository" / "org" / "example" / "door" / "1.0"
    folder.mkdir(parents=True)
    (folder / "door-1.0.jar").write_bytes(GOOD)
    (folder / "door-1.0.jar.sha1").write_text(hashlib.sha1(GOOD).hexdigest())
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"# doors\norg.example:door:1.0 sha256:{hashlib.sha256(GOOD).hexdigest()}\n")
    monkeypatch.setattr(jars, "LOCK", lock)
    handler = partial(Quiet, directory=str(tmp_path / "repository"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HEADRACE_MAVEN_REPOSITORY", f"http://127.0.0.1:{server.server_port}/")
        yield folder / "door-1.0.jar"
        server.shutdown()
        thread.join()


def test_a_jar_is_fetched_once_and_mended_when_damaged(repository: Path, tmp_path: Path) -> None:
    path = Path(jars.class_path(tmp_path / "cache"))
    assert path.read_bytes() == GOOD
    path.write_bytes(b"cut")
    assert Path(jars.class_path(tmp_path / "cache")).read_bytes() == GOOD
    repository.unlink()
    assert jars.class_path(tmp_path / "cache") == str(path)


def test_a_jar_that_is_another_is_refused(repository: Path, tmp_path: Path) -> None:
    repository.write_bytes(b"something else")
    repository.with_suffix(".jar.sha1").write_text(hashlib.sha1(b"something else").hexdigest())
    with pytest.raises(ClusterError, match="E_JAR_CHECKSUM"):
        jars.class_path(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "jars").iterdir())


def test_a_jar_that_is_nowhere_is_named(repository: Path, tmp_path: Path) -> None:
    repository.unlink()
    with pytest.raises(ClusterError, match=r"E_JAR_FETCH.*door-1\.0\.jar.*HEADRACE_MAVEN_REPOSITORY"):
        jars.class_path(tmp_path / "cache")


def test_the_lock_names_kafka_by_coordinates_and_checksums() -> None:
    locked = jars.locked((Path(jars.__file__).parent / "kafka.lock").read_text())
    assert ("org.apache.kafka", "kafka_2.13", "4.1.0") in {jar[:3] for jar in locked}
    assert all(len(jar.sha256) == 64 for jar in locked)
    assert "://" not in (Path(jars.__file__).parent / "kafka.lock").read_text()
