"""Flights out of New York: the real ones of a data folder, or seeded ones of the same form.

`headrace demo` takes its records from `WORKLOADS` and `records`: `demo` is made by a seed and runs anywhere;
`new_york` reads `schedules.parquet`, `departures.parquet` and `arrivals.parquet` of the folder that
FLIGHTS_DATA names (default: data/flights).

What is made has what the real ones have: delays that an airport shares for hours, that a carrier has on bad
days, and that an aircraft carries from one flight to its next; flights that never leave; aircraft that are
not assigned yet.

    python examples/flights/generate.py FOLDER [--seed N] [--days N]
    python examples/flights/generate.py FOLDER --of data/flights [--split 0.667]

With `--split` the folder gets two, by the time at which records come: FOLDER/before for `headrace import`,
FOLDER/after for `headrace produce`.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import ConfigError

START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LEAD_MS = 2 * HOUR_MS  # how long before a flight is due out it asks for a decision
LATE_MIN = 15
FIRST_HOUR, LAST_HOUR = 5, 22
CARRIERS = ("AA", "B6", "DL", "EV", "MQ", "UA")
AIRPORTS = ("EWR", "JFK", "LGA")
TABLES = ("schedules", "departures", "arrivals")
COMES = {"schedules": "event_time", "departures": "event_time", "arrivals": "known_at"}
Draws = np.random.Generator
Flight = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is made, and from which seed."""

    seed: int = 1
    days: int = 40
    flights_a_day: int = 400
    aircraft: int = 120
    destinations: int = 24
    cancelled: float = 0.03
    unassigned: float = 0.01  # share of flights without an aircraft when they ask


@dataclass(frozen=True, kw_only=True)
class RealFlights:
    """Those of a folder."""

    folder: str = ""

    @property
    def place(self) -> Path:
        """The folder: as given, as FLIGHTS_DATA says, or data/flights."""
        return Path(self.folder or os.environ.get("FLIGHTS_DATA", "data/flights"))


WORKLOADS = {
    # Forty days of made flights: enough to learn from and to judge by, in a minute.
    "demo": Plan(seed=2013),
    # The same in a few seconds, for tests.
    "small": Plan(seed=7, days=12, flights_a_day=150, aircraft=50, destinations=10),
    # January to June 2013, real: 166,158 flights.
    "new_york": RealFlights(),
}


def records(workload: Plan | RealFlights, events: int | None = None) -> dict[str, pa.Table]:
    """Return each source's records in the order in which they are delivered; with `events` the first flights.

    Raises:
        ConfigError: E_INPUT_FILE, the folder of the real flights is not there.
    """
    made = real(workload.place) if isinstance(workload, RealFlights) else generate(workload)
    if events is None or events >= len(made["schedules"]):
        return made
    first = made["schedules"].slice(0, events)
    ids = first["flight_id"].combine_chunks()
    others = {name: made[name] for name in TABLES[1:]}
    return {"schedules": first} | {
        name: table.filter(pc.is_in(table["flight_id"], value_set=ids)) for name, table in others.items()
    }


def real(folder: Path) -> dict[str, pa.Table]:
    """Return the tables of a folder, each in order of the time at which its records come."""
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").is_file()]
    if missing:
        raise ConfigError(
            "E_INPUT_FILE", f"there is no {missing[0]}.parquet", str(folder.resolve()),
            "name the folder of the real flights: FLIGHTS_DATA=...; or take the workload demo, which is made",
        )  # fmt: skip
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
    return {name: table.sort_by(COMES[name]) for name, table in tables.items()}


def split(tables: dict[str, pa.Table], share: float) -> dict[str, dict[str, pa.Table]]:
    """Return the tables before and after the moment at which `share` of the schedules have asked.

    A record belongs to the time at which it comes: an arrival that is known after that moment is not before.

    >>> parts = split(generate(Plan(days=3)), 0.5)
    >>> moment_ms = parts["after"]["schedules"]["event_time"][0].as_py()
    >>> max(pc.max(table[COMES[name]]).as_py() for name, table in parts["before"].items()) < moment_ms
    True
    """
    asked = tables["schedules"]["event_time"].sort()
    moment_ms = asked[min(int(share * len(asked)), len(asked) - 1)]
    early = {name: pc.less(table[COMES[name]], moment_ms) for name, table in tables.items()}
    return {
        "before": {name: table.filter(early[name]) for name, table in tables.items()},
        "after": {name: table.filter(pc.invert(early[name])) for name, table in tables.items()},
    }


def generate(plan: Plan) -> dict[str, pa.Table]:
    """Return made flights as three tables.

    >>> made = generate(Plan(days=2, flights_a_day=20))
    >>> sorted(made), made["schedules"].column_names[:3]
    (['arrivals', 'departures', 'schedules'], ['flight_id', 'carrier', 'tail'])
    """
    draws = np.random.default_rng(plan.seed)
    world = _World(draws, plan)
    flown = [flight for day in range(plan.days) for flight in world.day(day)]
    flown.sort(key=lambda flight: (flight["due_time"], flight["flight_id"]))
    left = sorted((one for one in flown if one["left"] is not None), key=lambda one: int(one["left"]))
    came = sorted(left, key=lambda one: int(one["came"]))
    return {
        "schedules": pa.Table.from_pylist([_schedule(one) for one in flown]),
        "departures": pa.Table.from_pylist([_departure(one) for one in left]),
        "arrivals": pa.Table.from_pylist([_arrival(one) for one in came]),
    }


def _schedule(one: Flight) -> Flight:
    times = {"event_time": one["due_time"] - LEAD_MS, "due_time": one["due_time"]}
    plan = {"distance_miles": one["distance"], "planned_min": one["planned"]}
    return {**_keys(one), "tail": one["tail"] if one["assigned"] else None, **times, **plan}


def _departure(one: Flight) -> Flight:
    return {**_keys(one), "event_time": one["left"], "dep_delay_min": one["out_min"]}


def _arrival(one: Flight) -> Flight:
    times = {"event_time": one["due_time"] - LEAD_MS, "due_time": one["due_time"], "known_at": one["came"]}
    outcome = "late" if one["in_min"] > LATE_MIN else "on_time"
    return {**_keys(one), **times, "arr_delay_min": one["in_min"], "outcome": outcome}


def _keys(one: Flight) -> Flight:
    return {name: one[name] for name in ("flight_id", "carrier", "tail", "origin", "dest")}


class _World:
    """Airports with weather, carriers with bad days, aircraft with a place in their day."""

    def __init__(self, draws: Draws, plan: Plan) -> None:
        self._draws, self._plan = draws, plan
        self._dests = [f"{chr(65 + n // 26)}{chr(65 + n % 26)}X" for n in range(plan.destinations)]
        self._miles = draws.integers(180, 2_600, plan.destinations)
        self._tails = [f"N{100 + n}{CARRIERS[n % len(CARRIERS)]}" for n in range(plan.aircraft)]
        self._weather = np.zeros((len(AIRPORTS) + plan.destinations, 24))

    def day(self, day: int) -> list[Flight]:
        """Return a day's flights: each aircraft flies a few, one after the other."""
        draws, plan = self._draws, self._plan
        self._weather = self._hours(len(self._weather))
        carriers = draws.gamma(0.7, 6.0, len(CARRIERS))
        flights = []
        for number in range(plan.aircraft):
            carried_min = 0.0
            for leg, due_min in enumerate(self._times()):
                flight = self._flight(day, number, leg, due_min)
                there, then = self._weather[:, flight["hour"]], flight["due_time"]
                shared = float(there[flight["at"]] + 0.5 * there[flight["to"]])
                bad = float(carriers[number % len(CARRIERS)])
                own = float(draws.gamma(0.35, 14.0)) - 6.0
                out_min = round(max(-12.0, 0.8 * max(0.0, carried_min - 10.0) + shared + bad + own))
                in_min = round(out_min + float(draws.normal(-6.0, 8.0)))
                cancelled = draws.random() < plan.cancelled * (1 + shared / 30)
                flight |= {
                    "left": None if cancelled else then + out_min * MINUTE_MS, "out_min": out_min,
                    "came": then + (flight["planned"] + in_min) * MINUTE_MS, "in_min": in_min,
                    "assigned": draws.random() >= plan.unassigned,
                }  # fmt: skip
                flights.append(flight)
                carried_min = carried_min if cancelled else in_min
        return flights

    def _times(self) -> list[int]:
        """Return when an aircraft is due out, in minutes of the day: seldom, and hours apart."""
        legs = max(1, int(self._draws.poisson(self._plan.flights_a_day / self._plan.aircraft)))
        legs = min(legs, 5)
        first = self._draws.uniform(FIRST_HOUR * 60, FIRST_HOUR * 60 + 240)
        gap = (LAST_HOUR * 60 - first) / legs
        return [int(first + leg * gap + self._draws.uniform(0, 0.4 * gap)) for leg in range(legs)]

    def _flight(self, day: int, number: int, leg: int, due_min: int) -> Flight:
        at, to = int(self._draws.integers(0, len(AIRPORTS))), int(self._draws.integers(0, len(self._dests)))
        miles, carrier = int(self._miles[to]), CARRIERS[number % len(CARRIERS)]
        return {
            "flight_id": f"{day:04d}-{carrier}{number:04d}-{leg}", "carrier": carrier,
            "tail": self._tails[number], "origin": AIRPORTS[at], "dest": self._dests[to],
            "due_time": START_MS + LEAD_MS + day * DAY_MS + due_min * MINUTE_MS,
            "distance": miles, "planned": 45 + miles // 8,
            "at": at, "to": len(AIRPORTS) + to, "hour": min(due_min // 60, 23),
        }  # fmt: skip

    def _hours(self, places: int) -> Any:
        """Return delays by place and hour, in minutes: bad hours last, and most places have none."""
        level = np.where(self._draws.random(places) < 0.22, self._draws.gamma(2.0, 16.0, places), 0.0)
        begin = self._draws.integers(FIRST_HOUR, 18, places)
        hours = np.arange(24)
        return level[:, None] * np.clip((hours - begin[:, None] + 1) / 3, 0, 1)


def main() -> None:
    """Write the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--of", type=Path, help="take the real flights of this folder")
    parser.add_argument("--split", type=float, metavar="SHARE", help="write what comes before and after")
    asked = parser.parse_args()
    tables = real(asked.of) if asked.of else generate(Plan(seed=asked.seed, days=asked.days))
    parts = {"": tables} if asked.split is None else split(tables, asked.split)
    for part, named in parts.items():
        (asked.folder / part).mkdir(parents=True, exist_ok=True)
        for name, table in named.items():
            file = asked.folder / part / f"{name}.parquet"
            pq.write_table(table, file, compression="zstd")
            print(f"{file}: {len(table):,} rows")  # noqa: T201  # a script's answer


if __name__ == "__main__":
    main()
