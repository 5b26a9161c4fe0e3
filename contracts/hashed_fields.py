"""Personal fields that a key needs: what leaves the gate in their place.

A keyed hash (BLAKE2b, 128 bits, written as 32 hexadecimal letters) of the field's UTF-8 bytes. One text has
one hash in all sources of a project, so a label meets the records of its address; without the key nobody can
try texts. Keys have versions, each with the time from which it holds: a record is hashed by the one in force
at its own log timestamp, so that a replay makes the same hash. The oldest holds for all records before it as
well. Null stays null.
"""

from functools import partial
from hashlib import blake2b

import msgspec

from contracts.errors import ConfigError
from contracts.pipeline import Pipeline, SourceStream

KEY_BYTES_MIN, KEY_BYTES_MAX = 16, 64
HASH_BYTES = 16
ABOUT = "docs/projects.md says how to make one"


class HashKey(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the key; `secret` has 16 to 64 bytes."""

    version: int
    from_ms: int
    secret: bytes

    def __repr__(self) -> str:
        return f"HashKey(version={self.version}, from_ms={self.from_ms})"


class HashKeys:
    """All versions of a project's key.

    >>> keys = HashKeys((HashKey(version=1, from_ms=0, secret=b"0123456789abcdef"),))
    >>> one, none, again = keys.hashed(["192.0.2.7", "", "192.0.2.7"], [5, 5, 6])
    >>> len(one), none, one == again
    (32, '', True)

    Raises:
        ConfigError: E_HASH_KEY_FILE, there is no version, a secret is too short or too long, or two versions
            hold from one time.
    """

    def __init__(self, versions: tuple[HashKey, ...]) -> None:
        self.versions = tuple(sorted(versions, key=lambda key: key.from_ms))
        times = {key.from_ms for key in versions}
        right = all(KEY_BYTES_MIN <= len(key.secret) <= KEY_BYTES_MAX for key in versions)
        if not versions or len(times) < len(versions) or not right:
            raise ConfigError(
                "E_HASH_KEY_FILE",
                "there is no version, two hold from one time, or a key has not 16 to 64 bytes",
                "keys of personal fields", ABOUT,
            )  # fmt: skip

    def hashed(self, texts: list[str], timestamps_ms: list[int]) -> list[str]:
        """Return the hash of each text (n,) under the key in force at each log timestamp (n,), epoch ms."""
        if not texts:
            return []
        first, last = self._at(min(timestamps_ms)), self._at(max(timestamps_ms))
        if first is last:
            table = _table(first, texts)
            return [table[text] for text in texts]
        tables = {key.version: _table(key, texts) for key in self.versions}
        return [
            tables[self._at(at_ms).version][text] for text, at_ms in zip(texts, timestamps_ms, strict=True)
        ]

    def _at(self, timestamp_ms: int) -> HashKey:
        held = [key for key in self.versions if key.from_ms <= timestamp_ms]
        return held[-1] if held else self.versions[0]


def keys_needed(source: SourceStream, keys: HashKeys | None) -> HashKeys:
    """Return the keys of a source that needs them.

    Raises:
        ConfigError: E_HASH_KEY_NONE.
    """
    if keys is None:
        raise ConfigError(
            "E_HASH_KEY_NONE",
            f"a key needs {', '.join(sorted(source.hashed))} of {source.name}, which is personal: there is "
            "no secret to hash it with",
            "HEADRACE_KEY_FILE", ABOUT,
        )  # fmt: skip
    return keys


def check_keys(pipeline: Pipeline, keys: HashKeys | None) -> None:
    """See that a pipeline has the keys that it needs.

    Raises:
        ConfigError: E_HASH_KEY_NONE.
    """
    for source in pipeline.sources:
        if source.hashed:
            keys_needed(source, keys)


def _table(key: HashKey, texts: list[str]) -> dict[str, str]:
    """Return the hash of each distinct text."""
    hashed = partial(blake2b, digest_size=HASH_BYTES, key=key.secret)
    return {text: hashed(text.encode()).hexdigest() if text else "" for text in set(texts)}
