"""The file with the secrets of personal keys: made once, private, refused where it cannot be used."""

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.pipeline import Pipeline
from contracts.raw import RawBatch
from features.project.load import load_project
from features.project.running import RunningProject
from load.this_project import PIPELINE
from runtime.personal_keys import NAMED, key_file, keys_for, make_keys, read_keys
from runtime.run import Run
from streams.gate.core import GateCore

LOGINS: Pipeline = RunningProject(load_project(Path("examples/logins"))).pipeline
AT_MS = 1_760_000_000_000
LOGIN = (
    b'{"login_id":"l1","at":"2025-10-09T08:00:00Z","account":{"id":"a1"},'
    b'"client":{"ip":"192.0.2.7","channel":"web"},"result":"ok"}'
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv(NAMED, raising=False)
    return Run.create(tmp_path, "r1", redis_db=1)


def test_a_run_that_hashes_nothing_needs_and_gets_no_secret(run: Run) -> None:
    make_keys(PIPELINE, run)
    assert keys_for(PIPELINE, run) is None
    assert not key_file(run).exists()


def test_a_secret_is_made_once_and_is_its_owners_alone(run: Run) -> None:
    with pytest.raises(ConfigError) as refused:
        keys_for(LOGINS, run)
    assert refused.value.code == "E_HASH_KEY_NONE"
    make_keys(LOGINS, run)
    before = key_file(run).read_bytes()
    make_keys(LOGINS, run)
    assert key_file(run).read_bytes() == before
    assert key_file(run).stat().st_mode & 0o077 == 0
    keys = keys_for(LOGINS, run)
    assert keys is not None
    assert len(keys.versions[0].secret) == 32


def test_the_gate_writes_the_hash_and_never_the_address(run: Run) -> None:
    make_keys(LOGINS, run)
    keys = keys_for(LOGINS, run)
    assert keys is not None
    core = GateCore(LOGINS, 1, keys)
    core.assign("logins", 0, 0)
    gated = core.process("logins", RawBatch.of([(0, 0, AT_MS, None, LOGIN, None)]))
    assert not gated.verdict.bad
    assert gated.verdict.good["ip"].tolist() == [keys.hashed(["192.0.2.7"], [AT_MS])[0].encode()]
    assert all(b"192.0.2.7" not in (record.value or b"") for record in gated.records)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '[{"version":1}]', '[{"version":1,"from_ms":0,"secret":"zz"}]',
        '[{"version":1,"from_ms":0,"secret":"c0ffee"}]',
        '[{"version":1,"from_ms":0,"secret":"' + "ab" * 32 + '","more":1}]',
        '[{"version":1,"from_ms":0,"secret":"' + "ab" * 32 + '"},{"version":2,"from_ms":0,"secret":"'
        + "cd" * 32 + '"}]',
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_and_its_secret_not_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_keys(path)
    assert refused.value.code == "E_HASH_KEY_FILE"
    assert "abab" not in str(refused.value)
