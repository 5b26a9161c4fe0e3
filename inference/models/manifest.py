"""What a model says of itself: the manifest beside its text, the pointer to the champion, where files lie.

    <models>/release.json             who is champion, canary and shadow: {name, version, sha256} each, sha256
                                      of the version's manifest.json (`inference/release/release.py`)
    <models>/champion.json            the champion alone, where there is no release.json: older registries
    <models>/<name>/<version>/        model.txt, golden.json, calibration.json, baseline.json, report.json,
                                      report.html, manifest.json (sha256 of the other files)

The pointer vouches for the manifest and the manifest for every other file, so one digest covers them all.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError

MODEL_FILE = "model.txt"
GOLDEN_FILE = "golden.json"
CALIBRATION_FILE = "calibration.json"
BASELINE_FILE = "baseline.json"
REPORT_FILE = "report.json"
REPORT_PAGE_FILE = "report.html"
MANIFEST_FILE = "manifest.json"
CHAMPION_FILE = "champion.json"
RELEASE_FILE = "release.json"
BYTES_MAX = 256 << 20
NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what bytes of others can raise
NEVER = 1.0  # a threshold that no score reaches, not even a score of 1
BETWEEN = (0.5, 0.9)  # the thresholds of a model that names none
Limits = tuple[float, ...]  # one a decision above the mildest
RowLimits = Sequence[float | NDArray[np.float64]]  # the same, or (n,) each of who decides the row
_T = TypeVar("_T")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")


class Thresholds(dict[str, float]):
    """Scores from which an event is decided so, by decision; 1 (`NEVER`) is reached by none.

    >>> Thresholds(challenge=0.4, deny=0.9).limits(("allow", "challenge", "deny"))
    (0.4, 0.9)
    >>> Thresholds(deny=0.9).limits(("allow", "challenge", "deny")), Thresholds().limits(("no", "yes"))
    ((0.9, 0.9), (0.5,))
    >>> Thresholds(challenge=0.9, deny=0.5).limits(("allow", "challenge", "deny"))
    Traceback (most recent call last):
    ValueError: thresholds need 0 <= challenge <= deny <= 1, not 0.9, 0.5
    """

    def limits(self, decisions: Sequence[str]) -> Limits:
        """Return the score from which each decision above the mildest holds, in their order.

        A decision that is not named is never reached by a score alone; of a model that names none, the
        thresholds lie between 0.5 and 0.9.

        Args:
            decisions: the mildest first.

        Raises:
            ValueError: they are not in order, or name a decision that there is not.
        """
        severer = tuple(decisions[1:])
        unknown = sorted(self.keys() - set(severer))
        if unknown:
            raise ValueError(f"there is no decision {unknown[0]!r} above {decisions[0]!r}")
        if not self:
            return tuple(map(float, np.linspace(*BETWEEN, len(severer))))
        found, upper = list[float](), NEVER
        for name in reversed(severer):
            upper = self.get(name, upper)
            found.insert(0, upper)
        if any(not 0 <= a <= b <= 1 for a, b in pairwise([0.0, *found, 1.0])):
            names, said = " <= ".join(severer), ", ".join(map(str, found))
            raise ValueError(f"thresholds need 0 <= {names} <= 1, not {said}")
        return tuple(found)


def reached(scores: NDArray[np.float64], threshold: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of each score (n,) whether it reaches the threshold, one or (n,); no score is NaN's or `NEVER`'s.

    >>> reached(np.array([0.2, 0.5, 1.0, np.nan]), 0.5).tolist(), reached(np.array([1.0]), NEVER).tolist()
    ([False, True, True, False], [False])
    """
    return np.asarray((scores >= threshold) & (np.asarray(threshold) < NEVER))


def from_score(score: float) -> float:
    """Return the threshold that a score reaches: itself, or the highest there is where it is 1.

    >>> from_score(0.5), reached(np.array([1.0]), from_score(1.0)).tolist()
    (0.5, [True])
    """
    return min(float(score), float(np.nextafter(NEVER, 0.0)))


def bands(scores: NDArray[np.float64], limits: RowLimits) -> NDArray[np.uint8]:
    """Return the code of the decision that thresholds alone come to, for scores (n,): 0 is the mildest.

    >>> bands(np.array([0.1, 0.6, 1.0]), (0.5, NEVER)).tolist()
    [0, 1, 1]
    """
    found = np.zeros(len(scores), np.uint8)
    for limit in limits:
        found += reached(scores, limit)
    return found


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer must know of a model; training adds more fields, which a scorer passes over.

    `categories` are the values, by feature, whose codes the model learnt: the first is 1, and 0 is any other.
    """

    name: str
    version: str
    definitions_hash: str
    features: list[str]
    feature_hashes: dict[str, str] = {}
    sha256: dict[str, str]
    thresholds: dict[str, float] = {}
    categories: dict[str, list[str]] = {}


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose scores are known: a model that gives others is not the one that was trained.

    `vectors` are rows of the service's columns, null for a value that is not there. A few rows do not reach
    every split, so `text_sha256` says of which text they are; versions from before it leave it empty.
    """

    vectors: list[list[float | None]]
    scores: list[float]
    text_sha256: str = ""


class Champion(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is meant, champion or not; `sha256` is the digest of its manifest.json.

    >>> Champion(name="risk", version="0001-ab", sha256="").id
    'risk/0001-ab'
    """

    name: str
    version: str
    sha256: str

    @property
    def id(self) -> str:
        """Return name/version."""
        return f"{self.name}/{self.version}"


class _Said(msgspec.Struct, frozen=True):
    champion: Champion | None = None


def folder_of(models: Path, champion: Champion) -> Path:
    """Return the version's folder.

    Raises:
        ModelError: E_MODEL_PATH, a name that leads elsewhere, or a link.
    """
    for part in (champion.name, champion.version):
        if not _PLAIN_NAME.fullmatch(part):
            raise ModelError(
                "E_MODEL_PATH", f"{part!r} is no plain name", CHAMPION_FILE, "name a model's folder"
            )
    folder = models / champion.name / champion.version
    if folder.is_symlink() or folder.parent.is_symlink():
        raise ModelError(
            "E_MODEL_PATH", "the folder is a link", str(folder), "put the files themselves there"
        )
    return folder


def digest(data: bytes) -> str:
    """Return the SHA-256 of the bytes in hex.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ModelError: E_MODEL_PATH for a link or no plain file, E_MODEL_FILE when unreadable or too big.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ModelError("E_MODEL_PATH", "not a plain file", str(path), "put the file itself there")
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ModelError(
                "E_MODEL_FILE", f"more than {BYTES_MAX} bytes", str(path), "train a smaller model"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            "E_MODEL_FILE", f"cannot be read: {error.strerror}", str(path), "train or promote another version"
        ) from error


def read_manifest(folder: Path, sha256: str) -> Manifest:
    """Return the manifest, when it is the one that was vouched for.

    Raises:
        ModelError: E_MODEL_HASH or E_MODEL_MANIFEST.
    """
    return _manifest(read_file(folder / MANIFEST_FILE), sha256, str(folder / MANIFEST_FILE))


def checked_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return every file that the manifest names, each with the digest that it states.

    Raises:
        ModelError: E_MODEL_HASH, E_MODEL_PATH, E_MODEL_FILE or E_MODEL_FORMAT (no text model named).
    """
    return _files(lambda name: read_file(folder / name), manifest, str(folder))


def read_checked(read: Callable[[str], bytes], pointer: Champion) -> tuple[Manifest, dict[str, bytes]]:
    """Return a version's manifest and files, wherever they are read from, when every digest holds.

    Raises:
        ModelError: as `read_manifest` and `checked_files`.
    """
    manifest = _manifest(read(MANIFEST_FILE), pointer.sha256, f"{pointer.id}/{MANIFEST_FILE}")
    return manifest, _files(read, manifest, pointer.id)


def _manifest(data: bytes, sha256: str, where: str) -> Manifest:
    if digest(data) != sha256:
        raise ModelError("E_MODEL_HASH", "is not what the release names", where, "promote a version again")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (*NOT_JSON, ValueError) as error:
        raise ModelError("E_MODEL_MANIFEST", str(error), where, "train the model again") from error
    return manifest


def _files(read: Callable[[str], bytes], manifest: Manifest, where: str) -> dict[str, bytes]:
    for needed in (MODEL_FILE, GOLDEN_FILE):
        if needed not in manifest.sha256:
            raise ModelError("E_MODEL_FORMAT", f"the manifest names no {needed}", where, "train it again")
    files = {}
    for name, sha256 in manifest.sha256.items():
        if not _PLAIN_NAME.fullmatch(name):
            raise ModelError("E_MODEL_PATH", f"{name!r} is no plain file name", where, "train it again")
        files[name] = read(name)
        if digest(files[name]) != sha256:
            raise ModelError(
                "E_MODEL_HASH", "differs from the manifest", f"{where}/{name}", "promote another version"
            )
    return files


def read_champion(models: Path) -> Champion | None:
    """Return which version is champion, None while there is none.

    Raises:
        ModelError: E_MODEL_RELEASE or E_MODEL_CHAMPION, the file that says so is not readable.
    """
    path = models / RELEASE_FILE
    if path.exists():
        return _decoded(path, _Said, "E_MODEL_RELEASE").champion
    path = models / CHAMPION_FILE
    return _decoded(path, Champion, "E_MODEL_CHAMPION") if path.exists() else None


def _decoded(path: Path, kind: type[_T], code: str) -> _T:
    try:
        return msgspec.json.decode(read_file(path), type=kind)
    except NOT_JSON as error:
        raise ModelError(code, str(error), str(path), "promote a version again") from error
