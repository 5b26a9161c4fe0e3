"""Decisions as the records that subscribers read, written by the batch.

Most of a prediction's text is equal for many rows: rules' answers, the model, the groups' states. Such
pieces are encoded once from the contract's Structs and shared; a row then costs one formatting of its own
numbers and ids. A test holds every byte against the Struct's own encoding.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.contract_version import ContractVersion
from contracts.events import FeatureGroup, PolicyUsed, Reason, RuleOutcome
from contracts.frame import Columns, length
from features.project.running import RunningProject
from inference.models.model import Model
from inference.policy.decision import DECIDED_BY, NOT_ASSESSED, RISK_BANDS, Decided
from inference.policy.ladder import RUNG_NAMES
from inference.policy.policy import Override
from inference.policy.rule import Rule
from inference.policy.rules import Outcome, Outcomes
from inference.reading.missing import WORDS
from inference.reading.served import NO_AGE, STATUS_NAMES, Served, Status
from inference.release.arms import Arms
from inference.release.shadow import ReleaseWriter

Floats = NDArray[np.float64]

_encode = msgspec.json.Encoder().encode
_OUTCOME_NAMES = tuple(outcome.name.lower() for outcome in Outcome)
_TRACEPARENT_CHARS = 55
_ROW = (
    b'{"prediction_id":"%b-%d-%d","event_id":"%b","keys":{%b},'
    b'"event_time":%d,"scored_at":%b%b,"reasons":%b%b%b%b],"groups":%b,'
    b'"source":{"topic":"%b","partition":%d,"offset":%d}'
    b'%b"latency_ms":{"total":%b,"stage":%b%b}'
)


class Judged(NamedTuple):
    """Everything that was decided about n events; `reasons` by row, for those that have any.

    `settled` has the overrides by row; `cleared` is None while the gatekeeper is off.
    """

    vectors: Floats
    served: Served
    scores: Floats | None
    outcomes: Outcomes
    decided: Decided
    missing: NDArray[np.uint8]
    reasons: dict[int, list[Reason]]
    rung: NDArray[np.uint8]
    settled: dict[int, Override] = {}  # noqa: RUF012  # never changed
    cleared: NDArray[np.bool_] | None = None


class Timing(NamedTuple):
    """Epoch ms of the decision and of the batch's arrival, and the milliseconds of its steps."""

    scored_at_ms: float
    received_ms: float
    store_ms: float
    predict_ms: float


class PredictionWriter:
    """Makes the records of a batch.

    Args:
        epoch: the run's; part of every prediction_id.
        rules: the rules in force, in the order of the outcomes' columns.
        policy: the policy in force; None where nothing was declared.
        project: whose events are decided.
    """

    def __init__(
        self, epoch: int, rules: tuple[Rule, ...], policy: PolicyUsed | None,
        project: RunningProject,
    ) -> None:  # fmt: skip
        self._epoch, self._rules = b"%d" % epoch, rules
        self._policy: dict[str, Any] = {} if policy is None else {"policy": policy}
        self._named, self._decisions = project.event, project.decisions
        self._topic = project.pipeline.scored.topic.encode()
        self._has_profile = bool(project.batch_views)
        self._answers: dict[bytes, bytes] = {}
        self._groups: dict[tuple[int, int, int], tuple[bytes, bytes]] = {}
        self._verdicts: dict[tuple[int, int, int], bytes] = {}
        self._release = ReleaseWriter(project)
        self._contracts = project.pipeline.scored.versions

    def write(
        self, rows: Columns, judged: Judged, model: Model | None, timing: Timing, arms: Arms | None = None
    ) -> list[bytes]:
        """Return the JSON of n predictions, in row order; `arms` tells of canary and shadows."""
        count = length(rows)
        partitions, offsets = rows["raw_partition"].tolist(), rows["raw_offset"].tolist()
        total, stage = _latencies(rows["appended_ms"], timing)
        written = zip(
            [self._epoch] * count, partitions, offsets,
            _texts(self._named.ids_of(rows)), self._keys(rows),
            rows[self._named.time].tolist(), [b"%d" % timing.scored_at_ms] * count,
            self._decided(judged), _reasons(judged.reasons, count),
            self._rule_answers(judged.outcomes), self._release.write(model, arms, count),
            _numbers(judged.vectors),
            self._origins(judged.served), [self._topic] * count, partitions, offsets,
            self._circumstances(rows["appended_ms"], judged), total, stage,
            _ends(rows["traceparent"], timing), strict=True,
        )  # fmt: skip
        return [_ROW % row for row in written]

    def _keys(self, rows: Columns) -> list[bytes]:
        """Return the inside of each row's `keys`; a key that is missing is null."""
        columns = self._named.keys_of(rows)
        texts = [_texts(column) for column in columns]
        quotes = b'"%b":"%%b"'
        if not all((column != b"").all() for column in columns):
            quotes, texts = b'"%b":%%b', list(map(_quoted, texts))
        form = b",".join(quotes % name.encode() for name in self._named.chain.names)
        return [form % row for row in zip(*texts, strict=True)]

    def _decided(self, judged: Judged) -> list[bytes]:
        """Return `,"score":…,"risk_band":…,"decision":…,"decided_by":…` of each row."""
        decided, pieces = judged.decided, self._verdicts
        codes = list(
            zip(
                decided.decision.tolist(), decided.decided_by.tolist(), decided.risk_band.tolist(),
                strict=True,
            )
        )  # fmt: skip
        for code in set(codes) - pieces.keys():
            pieces[code] = _members(
                risk_band=RISK_BANDS[code[2]],
                decision=self._decisions.names[code[0]],
                decided_by=DECIDED_BY[code[1]],
            )
        if judged.scores is None:
            return [b"," + pieces[code] for code in codes]
        return [
            b"," + pieces[code] if code[2] == NOT_ASSESSED else b',"score":%b,%b' % (score, pieces[code])
            for code, score in zip(codes, _numbers(judged.scores[:, None]), strict=True)
        ]

    def _rule_answers(self, outcomes: Outcomes) -> list[bytes]:
        """Return `,"rules":…` of each row."""
        codes = _row_bytes(outcomes)
        for code in set(codes) - self._answers.keys():
            answers = [
                RuleOutcome(id=rule.id, version=rule.version, outcome=_OUTCOME_NAMES[outcome])  # type: ignore[arg-type]  # the contract's words
                for rule, outcome in zip(self._rules, code, strict=True)
            ]
            self._answers[code] = b',"rules":%b' % _encode(answers)
        return [self._answers[code] for code in codes]

    def _origins(self, served: Served) -> list[bytes]:
        """Return each row's groups; `event` and `derived` are made here and have no status of their own."""
        groups = self._groups
        codes = list(
            zip(
                *(status.tolist() for status in served.statuses), _profile_codes(served), strict=True,
            )
        )  # fmt: skip
        for code in set(codes) - groups.keys():
            groups[code] = self._group_pieces(*code)
        return [
            groups[code][0] if code[-1] < 0 else b"%b%d%b" % (groups[code][0], age, groups[code][1])
            for code, age in zip(codes, served.profile_age_ms.tolist(), strict=True)
        ]

    def _group_pieces(self, *codes: int) -> tuple[bytes, bytes]:
        """Return the text of the groups before and behind the profile's age; no profile has none (-1)."""
        *statuses, profile = codes
        groups = {
            name: _group(status) for name, status in zip(self._named.chain.names, statuses, strict=True)
        }
        if not self._has_profile:
            return _encode(groups) + b"}", b""
        if profile < 0:
            return _encode({**groups, "profile": FeatureGroup(status="default")}) + b"}", b""
        return _encode({**groups, "profile": _group(profile)})[:-3], b"}}}"

    def _circumstances(self, appended_ms: NDArray[np.int64], judged: Judged) -> list[bytes]:
        """Return `,"contract":…,"degraded":…,"degraded_why":…,"rung":…,"policy":…,` of each row.

        The contract is the one in force at the record's own time, by which the gate judged it.
        """
        begins = np.array([terms.effective_from_ms for terms in self._contracts], np.int64)
        which = np.searchsorted(begins, appended_ms, side="right") - 1
        codes = list(zip(which.tolist(), judged.missing.tolist(), judged.rung.tolist(), strict=True))
        pieces = {
            code: b",%b," % _members(
                contract=self._label(code[0]), degraded=bool(WORDS[code[1]]), degraded_why=WORDS[code[1]],
                rung=RUNG_NAMES[code[2]], **self._policy,
            )
            for code in set(codes)
        }  # fmt: skip
        return [pieces[code] for code in codes]

    def _label(self, at: int) -> str:
        version: ContractVersion | None = self._contracts[at] if at >= 0 else None
        return version.label if version else f"{self._topic.decode()}/unknown"


def _members(**fields: object) -> bytes:
    """Return the fields of an object as JSON, without its braces.

    >>> _members(degraded=False)
    b'"degraded":false'
    """
    return _encode(fields)[1:-1]


def _group(status: int) -> FeatureGroup:
    """Return a group as of the event itself; one whose key is missing is of no age."""
    age_ms = msgspec.UNSET if status == Status.NO_KEY else 0
    return FeatureGroup(status=STATUS_NAMES[status], age_ms=age_ms)  # type: ignore[arg-type]  # the contract's words


def _profile_codes(served: Served) -> list[int]:
    """Return each profile's status, -1 where there is none."""
    codes: list[int] = np.where(
        served.profile_age_ms == NO_AGE, -1, served.profile_status.astype(np.int64)
    ).tolist()
    return codes


def _reasons(reasons: dict[int, list[Reason]], count: int) -> list[bytes]:
    written = [b"[]"] * count
    for row, given in reasons.items():
        written[row] = _encode(given)
    return written


def _texts(column: NDArray[np.bytes_]) -> list[bytes]:
    """Return UTF-8 texts as the inside of JSON strings; what JSON escapes is rare and looked for at once."""
    texts: list[bytes] = column.tolist()
    width = column.dtype.itemsize
    characters = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), width)
    special = ((characters < 0x20) & (characters > 0)) | (characters == 0x22) | (characters == 0x5C)
    for row in np.flatnonzero(special.any(axis=1)).tolist():
        texts[row] = _encode(texts[row].decode())[1:-1]
    return texts


def _quoted(texts: list[bytes]) -> list[bytes]:
    return [b'"%b"' % text if text else b"null" for text in texts]


def _numbers(values: Floats) -> list[bytes]:
    """Return each row of (n, k) values as JSON's numbers with commas between; null where not finite.

    >>> _numbers(np.array([[1.0, np.nan], [0.5, 2.0]]))
    [b'1.0,null', b'0.5,2.0']
    """
    if not len(values):
        return []
    whole = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return whole[2:-2].split(b"],[")


def _row_bytes(codes: NDArray[np.uint8]) -> list[bytes]:
    """Return the bytes of each row of (n, k) codes."""
    count, width = codes.shape
    whole = codes.tobytes()
    return [whole[at : at + width] for at in range(0, count * width, width)] if width else [b""] * count


def _latencies(appended_ms: NDArray[np.int64], timing: Timing) -> Iterable[list[bytes]]:
    """Return each row's time since the event was in the log, to the decision and to the batch's arrival.

    The broker's clock may be ahead of ours: a time below 0 is told as 0.
    """
    for until in (timing.scored_at_ms, timing.received_ms):
        yield _numbers(np.maximum(0.0, np.round(until - appended_ms, 3))[:, None])


def _ends(traceparents: NDArray[np.bytes_], timing: Timing) -> list[bytes]:
    """Return the steps' times, and the trace context of the rows that have one."""
    steps = b",%b}" % _members(store=round(timing.store_ms, 3), predict=round(timing.predict_ms, 3))
    if traceparents.dtype.itemsize < _TRACEPARENT_CHARS:
        return [steps] * len(traceparents)
    return [
        b'%b,"traceparent":"%b"' % (steps, trace) if len(trace) == _TRACEPARENT_CHARS else steps
        for trace in _texts(traceparents)
    ]
