"""What each column is to a project: the id of a record, its time, keys, measures, categories."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from contracts.contract_version import TEXT_BYTES_MAX, TIME_MS_MAX
from contracts.errors import ConfigError
from headrace.init.guess import Guess
from headrace.init.words import IDS, NO_AMOUNTS, NOT_THE_EVENT, OF_EVENTS, OF_KEYS, TIMES, words_of

KEYS_MAX, MEASURES_MAX = 3, 4
KEY_LETTERS_MAX = 64
ENTITY_ROWS_MIN = 1.15  # rows a value, below which nothing comes again
FEW = 12  # whole numbers of so few values may be codes
SUMMED_MAX = 1 << 43  # of a measure: a mean over a million rows fits 63 bits


def assign_roles(guesses: Sequence[Guess], what: str, where: str, keys: Sequence[str] = ()) -> None:
    """Give every column its part, how sure that is, and what to change where it is wrong.

    Args:
        what: what a record is called, which the name of its id may say.
        where: the file, for messages.
        keys: fields that are keys, by whoever asks.

    Raises:
        ConfigError: E_INIT_TIME, nothing is a time; E_INIT_KEY, no key was found or the one named is none.
    """
    for guess in guesses:
        guess.sure, guess.why, guess.change = guess.kind.sure, guess.kind.why, guess.kind.change
        guess.role = "category" if guess.kind.enum else "value"
    _choose_time(guesses, where)
    _choose_id(guesses, what)
    _choose_keys(guesses, where, keys)
    _choose_measures(guesses)


def time_of_guesses(guesses: Sequence[Guess]) -> Guess:
    """Return the time of the records."""
    return next(guess for guess in guesses if guess.role == "time")


def id_of_guesses(guesses: Sequence[Guess]) -> Guess | None:
    """Return what names a record; None where nothing does."""
    return next((guess for guess in guesses if guess.role == "id"), None)


def _choose_time(guesses: Sequence[Guess], where: str) -> None:
    times = [guess for guess in guesses if guess.kind.type == "time" and _can_be_event(guess)]
    if not times:
        raise ConfigError(
            "E_INIT_TIME", "no column is a time that every record has", where,
            "add a column that says when each record happened, as 2024-01-31T10:00:00Z or epoch seconds"
            " (windows are lengths of time); its name should say so (`at`, `time`, `created_at`)",
        )  # fmt: skip
    ranked = sorted(times, key=_event_score, reverse=True)
    chosen = ranked[0]
    chosen.role = "time"
    chosen.why = f"when a record happened: {chosen.kind.why}"
    if chosen.missing:
        chosen.why += f"; {chosen.missing:,} rows without one are refused"
    if not chosen.kind.has_clock:
        chosen.sure, chosen.change = (
            min(chosen.sure, 0.6),
            "windows under a day mean nothing: the file has days alone",
        )
    if len(ranked) > 1:
        chosen.sure = min(chosen.sure, 0.7)
        others = ", ".join(guess.name for guess in ranked[1:4])
        chosen.change = f"write another eventTime if it is {others}" + (
            f"; {chosen.change}" if chosen.change else ""
        )


def _can_be_event(guess: Guess) -> bool:
    moments = guess.moments_ms
    return len(moments) >= 0.9 * len(guess.values) and min(moments) > 0 and max(moments) <= TIME_MS_MAX


def _event_score(guess: Guess) -> float:
    words = set(words_of(guess.place[-1]))
    score = 0.5 * bool(words & TIMES) - 0.6 * bool(words & NOT_THE_EVENT) + 0.3 * guess.kind.has_clock
    score += 0.2 * (guess.missing == 0) - 0.1 * (len(guess.place) - 1)
    score += 0.3 * bool(words & {"event", "happened", "occurred", "timestamp", "ts", "datetime"})
    return score + 0.3 * guess.distinct / max(1, len(guess.values))


def _choose_id(guesses: Sequence[Guess], what: str) -> None:
    rows = len(guesses[0].values)
    found = [(score, guess) for guess in guesses if (score := _id_score(guess, rows, what)) >= 0.5]
    if not found:
        return
    score, chosen = max(found, key=lambda each: each[0])
    twice = rows - chosen.distinct
    chosen.role, chosen.sure = "id", min(0.95, score)
    chosen.why = f"names a record: {chosen.distinct:,} values in {rows:,} rows"
    if twice:
        chosen.why += f"; a record whose id came before is dropped, {twice:,} here"
    chosen.change = "take primaryKey away if its values may come again" if score < 0.9 or twice else ""
    _no_category(chosen)


def _id_score(guess: Guess, rows: int, what: str) -> float:
    """Return how sure it is that a column names records; below 0.5 it does not."""
    words = words_of(guess.place[-1])
    if guess.kind.type not in ("string", "integer") or guess.missing or guess.role == "time" or rows < 2:
        return 0.0
    if not _short(guess):
        return 0.0
    named = words[-1:] == ("id",) or bool(set(words) & IDS) or (len(words) == 1 and words[0].endswith("id"))
    own = words == ("id",) or bool(set(words) & (OF_EVENTS | set(words_of(what)) | {"uuid", "guid"}))
    if guess.distinct < rows:
        return 0.6 if named and own and guess.distinct >= 0.95 * rows else 0.0
    if set(words) & OF_KEYS and not own:
        return 0.0 if guess.kind.type == "integer" and not named else 0.45 + 0.1 * named
    if named:
        return 0.95 if own else 0.8
    if guess.kind.type == "integer":
        numbers = [int(value) for value in guess.values]
        in_turn = all(b - a == 1 for a, b in pairwise(numbers))
        return 0.55 if in_turn and rows >= 10 else 0.0
    return 0.6 if own and rows >= 10 else 0.0


def _short(guess: Guess) -> bool:
    if guess.kind.type != "string":
        return True
    texts = [str(value) for value in guess.values if value is not None]
    return max(len(text.encode()) for text in texts) <= min(TEXT_BYTES_MAX, KEY_LETTERS_MAX)


def _choose_keys(guesses: Sequence[Guess], where: str, named: Sequence[str]) -> None:
    by_name = {guess.name: guess for guess in guesses} | {guess.place[-1]: guess for guess in guesses}
    for name in named:
        guess = by_name.get(name)
        if guess is None or guess.kind.type not in ("string", "integer") or not _short(guess):
            can = [each.name for each in guesses if each.kind.type in ("string", "integer") and _short(each)]
            raise ConfigError(
                "E_INIT_KEY", f"{name!r} is no column of short texts or whole numbers", where,
                f"name one of {', '.join(can)}" if can else "add a column that says whose a record is",
            )  # fmt: skip
        _make_key(guess, 1.0, "named as a key")
    if named:
        return
    scored = [(score, guess) for guess in guesses if (score := _key_score(guess)) > 0.3]
    ranked = sorted(scored, key=lambda each: (-each[0], -each[1].distinct))
    for score, guess in ranked[:KEYS_MAX]:
        _make_key(guess, score, "")
    if not ranked:
        _fall_back(guesses, where)


def _make_key(guess: Guess, sure: float, why: str) -> None:
    rows = len(guess.values)
    if guess.role == "id":
        return
    if guess.role == "time":
        return
    guess.role, guess.sure = "key", sure
    guess.why = why or f"a key: {guess.distinct:,} values in {rows:,} rows"
    guess.change = "take its entity and views out of features.py if nobody asks what its value did before"
    if guess.missing:
        guess.why += f"; {guess.missing:,} rows have none and pass its stage"
    _no_category(guess)


def _no_category(guess: Guess) -> None:
    """Let a key or an id have values that nobody saw before."""
    if guess.kind.enum:
        guess.kind.enum, guess.kind.options = (), {"minLength": 1, "maxLength": TEXT_BYTES_MAX}
    if guess.kind.type == "integer":
        guess.kind.options = {} if guess.kind.low < 0 else {"minimum": 0}


def _key_score(guess: Guess) -> float:
    """Return how sure it is that somebody asks what a column's value did before."""
    rows, words = len(guess.values) - guess.missing, words_of(guess.place[-1])
    if guess.role in ("id", "time") or guess.kind.type not in ("string", "integer") or not _short(guess):
        return 0.0
    if guess.distinct < 2 or rows < ENTITY_ROWS_MIN * guess.distinct or rows < 0.5 * len(guess.values):
        return 0.0
    every = set(words_of(guess.name)) | set(words)
    named = words[-1:] == ("id",) or (len(words) == 1 and len(words[0]) > 2 and words[0].endswith("id"))
    if every & OF_KEYS or any(word.rstrip("s") in OF_KEYS for word in words):
        return 0.9 if named or guess.personal else 0.8
    if named or (set(words) & (IDS - {"key", "code", "ref", "num"}) and guess.kind.type == "string"):
        return 0.75
    if guess.personal:
        return 0.6
    if guess.kind.type == "integer" or guess.kind.enum:
        return 0.0
    spaces = sum(" " in str(value) for value in guess.values if value is not None)
    return 0.4 if spaces < 0.5 * rows and guess.distinct > 5 else 0.0


def _fall_back(guesses: Sequence[Guess], where: str) -> None:
    """Take the category of most values as a key, where nothing else is one."""
    categories = [
        guess
        for guess in guesses
        if guess.kind.type == "string" and guess.role in ("category", "value") and guess.distinct > 1
        and _short(guess) and len(guess.values) - guess.missing >= ENTITY_ROWS_MIN * guess.distinct
    ]  # fmt: skip
    if not categories:
        raise ConfigError(
            "E_INIT_KEY", "no column says whose a record is: none has values that come again", where,
            "name one with --key COLUMN (an account, a shop, a machine), or add such a column",
        )  # fmt: skip
    _make_key(
        max(categories, key=lambda guess: guess.distinct), 0.3, "nothing else comes again: a category as key"
    )


def _choose_measures(guesses: Sequence[Guess]) -> None:
    measures = 0
    for guess in guesses:
        if guess.role != "value" or guess.kind.type not in ("integer", "decimal") or guess.personal:
            continue
        most = max(abs(float(each)) for each in guess.kind.options.values()) * 10**guess.kind.scale
        if set(words_of(guess.place[-1])) & NO_AMOUNTS or guess.distinct < 3 or most > SUMMED_MAX:
            guess.change = "it is in no feature: write sum_of or mean_of if it is an amount"
            continue
        if measures == MEASURES_MAX:
            guess.change = f"{MEASURES_MAX} measures are in features already: add it if it matters"
            continue
        measures += 1
        guess.role = "measure"
        if guess.kind.type == "integer" and guess.distinct <= FEW:
            guess.sure, guess.why = 0.6, f"{guess.kind.why}, few of them: a code, maybe"
        room = f"up to {guess.kind.options['maximum']:,} are taken, which leaves room"
        guess.change = f"{room}; {guess.change}" if guess.change else f"{room}: write the range that is right"


def typical_gap_ms(guesses: Sequence[Guess], key: Guess) -> float:
    """Return the median time between two records of one key, ms; 0 where none has two."""
    moments: dict[object, list[int]] = {}
    for value, at in zip(key.values, time_of_guesses(guesses).moment_ms, strict=True):
        if value is not None and at:
            moments.setdefault(value, []).append(at)
    gaps = [b - a for each in moments.values() for a, b in pairwise(sorted(each))]
    return median(gaps) if gaps else 0.0
