"""The review queue as the topics say it: cases less verdicts, and figures of how people keep up and agree.

Nothing is kept anywhere else: whoever reads `reviews` and `verdicts`, or their copies in the lake, gets the
same queue. Ages are of event time: how far the run's newest event is past the case's event.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
import structlog

from contracts.events import ReviewCase, ReviewVerdict
from features.definition import DAY_MS
from inference.policy.policy import ReviewTerms

T = TypeVar("T")
log = structlog.get_logger(__name__)
CONFIRMED = "confirmed"
VERDICTS = (CONFIRMED, "false_positive", "valuable_alert")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case and its verdicts, oldest first; each analyst's last one counts."""

    opened: ReviewCase
    verdicts: tuple[ReviewVerdict, ...] = ()

    @property
    def counted(self) -> dict[str, ReviewVerdict]:
        """The last verdict of each analyst."""
        return {verdict.who: verdict for verdict in self.verdicts}

    @property
    def state(self) -> str:
        """`open`, `decided`, or `disputed` where analysts differ."""
        said = {verdict.verdict for verdict in self.counted.values()}
        return "open" if not said else "decided" if len(said) == 1 else "disputed"


def queue(reviews: Iterable[bytes], verdicts: Iterable[bytes]) -> dict[str, Case]:
    """Return every case by its id, in the order opened.

    Args:
        reviews: values of the topic `reviews`. verdicts: values of `verdicts`, those of a case in log order.

    A verdict under an id that was seen before is a repeat; one of an unknown case is left out. A value that
    breaks its contract is passed over and said (E_REVIEW_RECORD): one of them must not hide all others.
    """
    opened: dict[str, ReviewCase] = {}
    for case in _read(reviews, ReviewCase, "reviews"):
        opened.setdefault(case.case_id, case)
    given: dict[str, dict[str, ReviewVerdict]] = {}
    for verdict in _read(verdicts, ReviewVerdict, "verdicts"):
        given.setdefault(verdict.case_id, {}).setdefault(verdict.verdict_id, verdict)
    return {
        name: Case(opened=case, verdicts=tuple(given.get(name, {}).values()))
        for name, case in sorted(opened.items(), key=lambda item: (item[1].opened_at, item[0]))
    }


def _read(values: Iterable[bytes], kind: type[T], topic: str) -> Iterator[T]:
    for number, value in enumerate(values):
        try:
            yield msgspec.json.decode(value, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning(
                "record_passed_over", code="E_REVIEW_RECORD", topic=topic, record=number, why=str(error)
            )


def now_ms(cases: Mapping[str, Case]) -> int:
    """Return the run's event time as far as the queue knows it: its newest event or verdict; 0 if empty."""
    times = [case.opened.event_time for case in cases.values()]
    times += [verdict.decided_at for case in cases.values() for verdict in case.verdicts]
    return max(times, default=0)


def order(cases: Iterable[Case], by: str) -> list[Case]:
    """Return cases oldest event first (`age`), or highest score first, unscored ones last (`score`)."""
    if by == "score":
        return sorted(cases, key=lambda case: (-_score(case), case.opened.case_id))
    return sorted(cases, key=lambda case: (case.opened.event_time, case.opened.case_id))


def figures(cases: Mapping[str, Case], terms: ReviewTerms) -> dict[str, Any]:
    """Return capacity, ageing and agreement; shares are None where nothing can be told."""
    clock = now_ms(cases)
    states = Counter(case.state for case in cases.values())
    judged = [case for case in cases.values() if case.verdicts]
    waiting = [case for case in cases.values() if case.state == "open"]
    several = [case for case in judged if len(case.counted) > 1]
    days = Counter(case.opened.event_time // DAY_MS for case in cases.values())
    busiest = max(days.values(), default=0)
    return {
        "cases": len(cases), **{state: states.get(state, 0) for state in ("open", "decided", "disputed")},
        "opened_by_why": dict(Counter(case.opened.why for case in cases.values())),
        "capacity": {
            "cases_a_day": terms.cases_a_day, "days": len(days), "busiest_day": busiest,
            "mean_a_day": round(len(cases) / len(days), 3) if days else None,
            "days_over": sum(number > terms.cases_a_day for number in days.values()),
        },
        "open_age_ms": _ages([clock - case.opened.event_time for case in waiting]),
        "verdict_age_ms": _ages([case.verdicts[0].decided_at - case.opened.event_time for case in judged]),
        "agreement": {
            "cases_of_several": len(several),
            "agreed_ratio": _share(sum(case.state == "decided" for case in several), len(several)),
        },
        "verdicts": dict(Counter(v.verdict for case in judged for v in case.counted.values())),
        "confirmed_ratio_by_why": {
            why: _share(
                sum(_confirmed(case) for case in judged if case.opened.why == why),
                sum(case.opened.why == why for case in judged),
            )
            for why in sorted({case.opened.why for case in judged})
        },
    }  # fmt: skip


def _confirmed(case: Case) -> bool:
    return case.verdicts[-1].verdict == CONFIRMED


def _score(case: Case) -> float:
    score = case.opened.score
    return float(score) if isinstance(score, float | int) else -1.0


def _ages(ages_ms: list[int]) -> dict[str, int] | None:
    if not ages_ms:
        return None
    p50, p90 = (int(np.quantile(ages_ms, q, method="higher")) for q in (0.5, 0.9))
    return {"p50": p50, "p90": p90, "max": max(ages_ms)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
