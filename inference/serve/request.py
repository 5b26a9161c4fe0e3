"""What a caller of the HTTP door sends, read as strictly as the gate reads records, and how it is refused.

A pending event is checked as the gate checks records, as if its own were appended now. A question for
features names the key of one entity or of several, within the contract's limits of those fields.
"""

from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from contracts.contract_version import ContractField, ContractVersion
from contracts.document import Refused, read_document
from contracts.errors import HeadraceError
from contracts.field_check import values_of
from contracts.frame import Columns
from contracts.hashed_fields import HashKeys
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.running import RunningProject

ASK = "docs/request-time.md says what is taken"
_NO_KEY = b"-"  # of a document without the field of the key: the check names the field


class ServeError(HeadraceError):
    """A request is refused; `status` is HTTP's."""

    exit_code: ClassVar[int] = 1

    def __init__(self, status: int, code: str, what: str, where: str = "", next_step: str = ASK) -> None:
        super().__init__(code, what, where, next_step)
        self.status = status


NOW = "now_ms"


class CheckedRequest(NamedTuple):
    """A checked request: columns of the events that keep the contract, and the refusal of each other one.

    `rows` is None when none is good; `good` has the places of its rows, `refused` those of the others.
    """

    rows: Columns | None
    good: list[int]
    refused: dict[int, ServeError]


QUESTIONS = "questions"


class Requests:
    """What callers may send of a project's events.

    `keys` are the fields by which a question names keys; `question` is the type of one, in which UNSET is a
    field that was not given, and of the moment now.

    >>> from features.project.running import project_at
    >>> asks = Requests(project_at("examples/logins"))
    >>> asks.question_of(b'{"account_id": "a1"}').account_id
    'a1'
    >>> asks.questions_of(b'{"questions": [{"account_id": "a1"}]}', rows_max=10)
    [b'{"account_id": "a1"}']
    """

    def __init__(self, project: RunningProject) -> None:
        self._links, self._scored = project.pipeline.chain.links, project.pipeline.scored
        self.keys = tuple(dict.fromkeys(name for link in self._links for name in link.fields))
        newest = self._scored.versions[-1]
        kinds = {name: int if newest.by_name[name].column == "int64" else str for name in self.keys}
        self.question = msgspec.defstruct(
            "Question",
            [(name, kind | None | UnsetType, UNSET) for name, kind in {**kinds, NOW: int}.items()],
            frozen=True, kw_only=True,
            namespace={"__doc__": "Whose features are asked for, and as of which moment; UNSET is now."},
        )  # fmt: skip
        self._terms = _question_terms(self._scored, self.keys)

    def pending_of(
        self, documents: list[bytes], now_ms: int, secrets: HashKeys | None = None
    ) -> CheckedRequest:
        """Return pending events checked by the contract in force at `now_ms`, epoch ms.

        Args:
            secrets: with which the gate hashes personal fields that a key needs.
        """
        key_field = self._scored.versions[-1].key_field
        keys = [_key_of(document, key_field) for document in documents]
        batch = RawBatch.of((0, at, now_ms, key, documents[at], None) for at, key in enumerate(keys))
        verdict = judge(self._scored, batch, secrets)
        refused = {bad.row: _refusal(bad.code, bad.reason) for bad in verdict.bad}
        good = verdict.good_index.tolist()
        return CheckedRequest(verdict.good if good else None, good, refused)

    def question_of(self, document: bytes) -> Any:
        """Return a question for features.

        Raises:
            ServeError: a code of the gate's; E_SERVE_FIELD, E_SERVE_KEYS.
        """
        try:
            found = read_document(document, self._terms.limits)
            values = values_of(found, self._terms)
        except Refused as refused:
            raise _refusal(refused.code, refused.reason) from None
        question = msgspec.convert(values, self.question)
        unknown = sorted(found.keys() - {field.name for field in self._terms.fields})
        if unknown:
            known = ", ".join(field.name for field in self._terms.fields)
            what = "a field that a question does not have"
            raise ServeError(422, "E_SERVE_FIELD", what, "", f"take {known}")
        if not any(all(_given(question, name) for name in link.fields) for link in self._links):
            raise ServeError(
                422, "E_SERVE_KEYS", "no key is given", ", ".join(self.keys), "name one of them, or several"
            )
        return question

    def events_of(self, body: bytes, rows_max: int) -> list[bytes]:
        """Return the documents of a batch of events, each as it was sent: a list by the name of their topic.

        Raises:
            ServeError: E_SERVE_BATCH, E_SERVE_ROWS.
        """
        return _documents(_batch(body, self._scored.topic), rows_max)

    def questions_of(self, body: bytes, rows_max: int) -> list[bytes]:
        """Return the documents of a batch of questions, each as it was sent.

        Raises:
            ServeError: E_SERVE_BATCH, E_SERVE_ROWS.
        """
        return _documents(_batch(body, QUESTIONS), rows_max)


def _given(question: Any, name: str) -> bool:
    value = getattr(question, name)
    return value is not UNSET and value is not None and value != ""


def _documents(found: list[msgspec.Raw], rows_max: int) -> list[bytes]:
    if not found or len(found) > rows_max:
        raise ServeError(
            413 if found else 422, "E_SERVE_ROWS", f"{len(found)} in one batch", "", f"send 1 to {rows_max}"
        )
    return [bytes(one) for one in found]


def _batch(body: bytes, name: str) -> list[msgspec.Raw]:
    try:
        return _LIST.decode(_PARTS.decode(body)[name])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        raise ServeError(
            400, "E_SERVE_BATCH", "the body is no batch", name, f'send {{"{name}": [...]}} as JSON'
        ) from None


def _key_of(document: bytes, key_field: str) -> bytes:
    """Return the key that a producer would give the record."""
    try:
        return str(_KEYED.decode(document)[key_field]).encode() or _NO_KEY
    except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError):
        return _NO_KEY


def _refusal(code: str, reason: str) -> ServeError:
    status = 413 if code.startswith("E_SIZE") else 400 if code.startswith("E_DECODE") else 422
    return ServeError(status, code, reason, "the body", "mend it as the contract says; " + ASK)


def _question_terms(scored: SourceStream, names: tuple[str, ...]) -> ContractVersion:
    """Return what is asked of a question: the event's keys and a time, none of them required."""
    newest = scored.versions[-1]
    low, high = newest.by_name[scored.time].column_bounds
    keys = tuple(_optional(newest.by_name[name], name) for name in names)
    now = ContractField(
        name=NOW, path=(NOW,), type="time", time_format="epoch_ms", required=False, low=low, high=high
    )
    return msgspec.structs.replace(newest, key_field="", fields=(*keys, now))


def _optional(of: ContractField, name: str) -> ContractField:
    return msgspec.structs.replace(of, path=(name,), required=False)


_KEYED = msgspec.json.Decoder(dict[str, Any])
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
