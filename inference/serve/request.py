"""What a caller of the HTTP door sends, read as strictly as the gate reads records, and how it is refused.

A pending payment is judged by the gate's own verdict, as if its record were appended now. A question for
features names a customer, a terminal or both, by the contract's limits of those fields.
"""

from typing import ClassVar, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from contracts.document import Refused, read_document
from contracts.errors import HeadraceError
from contracts.field_check import event_of
from contracts.frame import Columns
from contracts.raw import RawBatch
from contracts.strict_verdict import limits_of
from contracts.terms import Field, Terms
from contracts.topics import TRANSACTIONS
from contracts.verdict import judge, versions_of

ASK = "docs/request-time.md says what is taken"
Batch = TypeVar("Batch", bound=Struct)
_NO_KEY = b"-"  # of a document without a customer: the verdict names the field


class ServeError(HeadraceError):
    """A request is refused; `status` is HTTP's."""

    exit_code: ClassVar[int] = 1

    def __init__(self, status: int, code: str, what: str, where: str = "", next_step: str = ASK) -> None:
        super().__init__(code, what, where, next_step)
        self.status = status


class Question(Struct, frozen=True, kw_only=True):
    """Whose features are asked for, and as of which moment; UNSET is now."""

    customer_id: str | None | UnsetType = UNSET
    terminal_id: str | None | UnsetType = UNSET
    now_ms: int | None | UnsetType = UNSET


class Payments(NamedTuple):
    """A judged request: columns of the payments that keep the contract, and the refusal of each other one.

    `rows` is None when none is good; `good` has the places of its rows, `refused` those of the others.
    """

    rows: Columns | None
    good: list[int]
    refused: dict[int, ServeError]


class _Transactions(Struct, frozen=True):
    transactions: list[msgspec.Raw]


class _Questions(Struct, frozen=True):
    questions: list[msgspec.Raw]


def payments_of(documents: list[bytes], now_ms: int) -> Payments:
    """Return pending payments judged by the contract in force at `now_ms`, epoch ms.

    >>> payments_of([b"{}"], 1_700_000_000_000).refused[0].code
    'E_CONTRACT_MISSING'
    """
    keys = [_customer_of(document) for document in documents]
    batch = RawBatch.of((0, at, now_ms, key, documents[at], None) for at, key in enumerate(keys))
    verdict = judge(TRANSACTIONS.name, batch)
    refused = {bad.row: _refusal(bad.code, bad.reason) for bad in verdict.bad}
    good = verdict.good_index.tolist()
    return Payments(verdict.good if good else None, good, refused)


def question_of(document: bytes) -> Question:
    """Return a question for features.

    Raises:
        ServeError: a code of the gate's; E_SERVE_FIELD, E_SERVE_KEYS.

    >>> question_of(b'{"customer_id": "c1"}').customer_id
    'c1'
    """
    try:
        found = read_document(document, limits_of(_QUESTION))
        question = event_of(found, _QUESTION)
    except Refused as refused:
        raise _refusal(refused.code, refused.reason) from None
    assert isinstance(question, Question)
    unknown = sorted(found.keys() - {field.name for field in _QUESTION.fields})
    if unknown:
        known = ", ".join(field.name for field in _QUESTION.fields)
        raise ServeError(422, "E_SERVE_FIELD", "a field that a question does not have", "", f"take {known}")
    if not question.customer_id and not question.terminal_id:
        raise ServeError(
            422, "E_SERVE_KEYS", "no key is given", "customer_id, terminal_id", "name one of them, or both"
        )
    return question


def transactions_of(body: bytes, rows_max: int) -> list[bytes]:
    """Return the documents of a batch of payments, each as it was sent.

    Raises:
        ServeError: E_SERVE_BATCH, E_SERVE_ROWS.
    """
    return _documents(_batch(body, _Transactions, "transactions").transactions, rows_max)


def questions_of(body: bytes, rows_max: int) -> list[bytes]:
    """Return the documents of a batch of questions, each as it was sent.

    Raises:
        ServeError: E_SERVE_BATCH, E_SERVE_ROWS.

    >>> questions_of(b'{"questions": [{"customer_id": "c1"}]}', rows_max=10)
    [b'{"customer_id": "c1"}']
    """
    return _documents(_batch(body, _Questions, "questions").questions, rows_max)


def _documents(found: list[msgspec.Raw], rows_max: int) -> list[bytes]:
    if not found or len(found) > rows_max:
        raise ServeError(
            413 if found else 422, "E_SERVE_ROWS", f"{len(found)} in one batch", "", f"send 1 to {rows_max}"
        )
    return [bytes(one) for one in found]


def _batch(body: bytes, kind: type[Batch], name: str) -> Batch:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ServeError(
            400, "E_SERVE_BATCH", "the body is no batch", name, f'send {{"{name}": [...]}} as JSON'
        ) from None


class _Customer(Struct):
    customer_id: str


def _customer_of(document: bytes) -> bytes:
    """Return the key that a producer would give the record."""
    try:
        return msgspec.json.decode(document, type=_Customer).customer_id.encode() or _NO_KEY
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _NO_KEY


def _refusal(code: str, reason: str) -> ServeError:
    status = 413 if code.startswith("E_SIZE") else 400 if code.startswith("E_DECODE") else 422
    return ServeError(status, code, reason, "the body", "mend it as the contract says; " + ASK)


def _question_terms() -> Terms:
    """Return what is asked of a question: the payment's keys and time, none of them required."""
    newest = versions_of(TRANSACTIONS.name)[-1]
    fields = {field.name: field for field in newest.fields}

    def optional(source: str, name: str) -> Field:
        return msgspec.structs.replace(fields[source], name=name, required=False)

    return msgspec.structs.replace(
        newest, struct=Question, key_field="",
        fields=(
            optional("customer_id", "customer_id"), optional("terminal_id", "terminal_id"),
            optional("event_time", "now_ms"),
        ),
    )  # fmt: skip


_QUESTION = _question_terms()
