"""Seeded logins, password resets and take-overs: the same arguments make the same bytes.

Accounts have an hour of the day, devices and addresses of their own, and now and then a new device, or an
address of elsewhere; some addresses are shared by a household or a carrier; a client on the web or the API
may send no device. Four attacks:

    stuffing   one address tries stolen passwords on many accounts, and few fit
    guessing   one address tries many passwords on one account, until one fits or it gives up
    reset      the password is set anew, and soon after somebody logs in from a device never seen
    quiet      a right password from a device and an address new to the account, and nothing else

Attackers use the clients that owners use, at the hours at which owners do: what one login says of itself
tells nothing; what its account, its device and its address did before does.

A take-over becomes known one to fourteen days later; an analyst looks at some other logins at random.

`headrace demo` takes its records from `WORKLOADS` and `records`.

    python examples/logins/generate.py FOLDER [--seed N] [--accounts N] [--days N] [--format ndjson|parquet]
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_S = 1_735_689_600  # 2025-01-01T00:00:00Z
HOUR_S, DAY_S = 3_600, 86_400
ATTACKS = ("stuffing", "guessing", "reset", "quiet")
CHANNELS, USED = ("web", "app", "api"), (0.5, 0.45, 0.05)
HOUR, HOURS = 14.0, 4.7  # around which hour people log in, and how widely
STUFFED = (20, 120)  # accounts that one address tries
GUESSES = (8, 40)
NEW_DEVICE_DAYS, ELSEWHERE = 120, 0.03  # how often an owner has a new device, and logs in from elsewhere
Draws = np.random.Generator
Client = tuple[str | None, str, str]  # device, address, channel


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is made, and from which seed."""

    seed: int = 1
    accounts: int = 500
    days: int = 30
    attacks_a_day: float = 2.0
    looked_at: float = 0.02  # share of other logins whose outcome an analyst finds out


WORKLOADS = {
    # Two months of a small service: enough take-overs known in time to learn from and to judge by.
    "demo": Plan(seed=2025, accounts=600, days=60, attacks_a_day=12.0),
    # The same in a few seconds, for tests.
    "small": Plan(seed=11, accounts=150, days=30, attacks_a_day=8.0),
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """An owner's habits."""

    name: str
    a_day: float
    hour: float
    devices: tuple[str, ...]
    addresses: tuple[str, ...]
    channel: str


@dataclass
class Made:
    """Rows so far, in no order; logins get their ids when all are there."""

    logins: list[dict[str, Any]] = field(default_factory=list)
    resets: list[dict[str, Any]] = field(default_factory=list)

    def login(self, at_s: float, account: str, client: Client, ok: bool, by: str = "") -> None:
        """Add an attempt of a client (device, address, channel); `by` names the attack that made it."""
        device, ip, channel = client
        row = {"at_s": at_s, "account": account, "device": device, "ip": ip, "channel": channel}
        self.logins.append({**row, "ok": ok, "by": by})

    def reset(self, at_s: float, account: str, method: str) -> None:
        """Add a password that was set anew."""
        self.resets.append({"at_s": at_s, "account": account, "method": method})


def generate(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each topic in order of time, as their producers write them.

    >>> rows = generate(Plan(accounts=20, days=2))
    >>> sorted(rows), sorted(rows["logins"][0])
    (['logins', 'resets', 'takeovers'], ['account', 'at', 'client', 'login_id', 'result'])
    """
    draws, made = np.random.default_rng(plan.seed), Made()
    accounts = [_account(draws, number, plan.accounts) for number in range(plan.accounts)]
    for account in accounts:
        _habits(draws, plan, account, made)
    for number in range(int(draws.poisson(plan.attacks_a_day * plan.days))):
        day_s = START_S + int(draws.integers(0, plan.days)) * DAY_S
        at_s = day_s + float(draws.normal(HOUR, HOURS) % 24) * HOUR_S
        _attack(draws, ATTACKS[number % len(ATTACKS)], at_s, accounts, made)
    return _records(draws, plan, made)


def records(plan: Plan, events: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return a workload's records by source; with `events` more or fewer accounts make about so many."""
    if events is None:
        return generate(plan)
    share = events / _logins(plan)
    accounts = max(20, round(plan.accounts * share))
    return generate(replace(plan, accounts=accounts, attacks_a_day=plan.attacks_a_day * share))


def _logins(plan: Plan) -> float:
    """Return about how many logins a plan makes."""
    owners = plan.accounts * 1.1 * (5 * 1.1 + 2 * 0.6) / 7 / 0.93
    attack = (min(plan.accounts, sum(STUFFED) / 2) + sum(GUESSES) / 2 + 2) / len(ATTACKS)
    return plan.days * (owners + plan.attacks_a_day * attack)


def _account(draws: Draws, number: int, accounts: int) -> Account:
    shared = f"198.51.100.{int(draws.integers(0, 16))}"  # a carrier's: many accounts stand behind it
    own = f"203.0.{number // 250}.{number % 250}"
    family = f"203.0.{int(draws.integers(0, accounts)) // 250}.{int(draws.integers(0, 250))}"
    addresses = (own, shared, family)[: 1 + int(draws.integers(0, 3))]
    return Account(
        name=f"a{number:06d}",
        a_day=float(np.clip(draws.lognormal(-0.3, 0.9), 0.05, 12.0)),
        hour=float(draws.normal(HOUR, 4.0) % 24),
        devices=tuple(f"d{number:06d}-{each}" for each in range(1 + int(draws.integers(0, 3)))),
        addresses=addresses,
        channel=str(draws.choice(CHANNELS, p=USED)),
    )


def _habits(draws: Draws, plan: Plan, account: Account, made: Made) -> None:
    """Add what an owner does: around one hour of the day, less at weekends, with some wrong passwords."""
    for day in range(plan.days):
        if draws.random() < 1 / NEW_DEVICE_DAYS:
            more = f"{account.devices[0]}-{day}"
            account = replace(account, devices=(*account.devices[-2:], more))
        weekend = (START_S // DAY_S + day + 3) % 7 >= 5
        for _ in range(int(draws.poisson(account.a_day * (0.6 if weekend else 1.1)))):
            at_s = START_S + day * DAY_S + float(draws.normal(account.hour, 2.5) % 24) * HOUR_S
            _own_login(draws, account, at_s, made)


def _own_login(draws: Draws, account: Account, at_s: float, made: Made) -> None:
    device, ip = str(draws.choice(account.devices)), str(draws.choice(account.addresses))
    if draws.random() < ELSEWHERE:
        ip = f"100.64.{int(draws.integers(0, 256))}.{int(draws.integers(0, 256))}"
    client = (_shown(draws, device, account.channel), ip, account.channel)
    wrong = int(draws.geometric(0.93)) - 1
    for _ in range(min(wrong, 6)):
        made.login(at_s, account.name, client, ok=False)
        at_s += float(draws.uniform(4, 60))
    if wrong >= 3 or draws.random() < 0.002:  # forgotten
        made.reset(at_s, account.name, str(draws.choice(["email", "sms"])))
        at_s += float(draws.uniform(20, 300))
    made.login(at_s, account.name, client, ok=True)


def _shown(draws: Draws, device: str, channel: str) -> str | None:
    """Return the device that a client sends: an app always, the web mostly, the API never."""
    return None if channel == "api" or (channel == "web" and draws.random() < 0.3) else device


def _attack(draws: Draws, kind: str, at_s: float, accounts: list[Account], made: Made) -> None:
    victim = accounts[int(draws.integers(0, len(accounts)))]
    ip, channel = f"192.0.2.{int(draws.integers(1, 255))}", str(draws.choice(CHANNELS, p=USED))
    client = (_shown(draws, f"x{int(draws.integers(0, 10**9)):09d}", channel), ip, channel)
    if kind == "stuffing":
        _stuffing(draws, at_s, accounts, client, made)
    elif kind == "guessing":
        _guessing(draws, at_s, victim, client, made)
    elif kind == "reset":
        made.reset(at_s, victim.name, str(draws.choice(["email", "sms"])))
        made.login(at_s + float(draws.uniform(30, 900)), victim.name, client, ok=True, by=kind)
    else:
        made.login(at_s, victim.name, client, ok=True, by=kind)


def _stuffing(draws: Draws, at_s: float, accounts: list[Account], client: Client, made: Made) -> None:
    tried = draws.choice(len(accounts), size=min(len(accounts), int(draws.integers(*STUFFED))), replace=False)
    for number in tried:
        at_s += float(draws.exponential(4.0))
        ok = bool(draws.random() < 0.03)
        made.login(at_s, accounts[int(number)].name, client, ok=ok, by="stuffing" if ok else "")


def _guessing(draws: Draws, at_s: float, victim: Account, client: Client, made: Made) -> None:
    for _ in range(int(draws.integers(*GUESSES))):
        at_s += float(draws.exponential(12.0))
        made.login(at_s, victim.name, client, ok=False)
    if draws.random() < 0.5:
        made.login(at_s + 10.0, victim.name, client, ok=True, by="guessing")


def _records(draws: Draws, plan: Plan, made: Made) -> dict[str, list[dict[str, Any]]]:
    """Return all rows in order of time, as JSON documents."""
    end_s = START_S + plan.days * DAY_S
    logins = sorted((row for row in made.logins if row["at_s"] < end_s), key=lambda row: row["at_s"])
    resets = sorted((row for row in made.resets if row["at_s"] < end_s), key=lambda row: row["at_s"])
    labels = sorted(_labels(draws, plan, logins), key=lambda row: str(row["known_at"]))
    return {
        "logins": [_login_record(number, row) for number, row in enumerate(logins)],
        "resets": [
            {"reset_id": f"r{number:08d}", "at": _text(row["at_s"]), "account": {"id": row["account"]},
             "method": row["method"]}
            for number, row in enumerate(resets)
        ],
        "takeovers": labels,
    }  # fmt: skip


def _login_record(number: int, row: dict[str, Any]) -> dict[str, Any]:
    client = {"ip": row["ip"], "channel": row["channel"]}
    if row["device"] is not None:
        client["device_id"] = row["device"]
    return {
        "login_id": f"l{number:08d}", "at": _text(row["at_s"]), "account": {"id": row["account"]},
        "client": client, "result": "ok" if row["ok"] else "failed",
    }  # fmt: skip


def _labels(draws: Draws, plan: Plan, logins: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what becomes known: every take-over days later, and some other logins that were looked at."""
    for number, row in enumerate(logins):
        looked_at = draws.random() < plan.looked_at
        later_s = float(np.clip(draws.lognormal(1.1, 0.7), 1.0, 14.0)) * DAY_S
        if row["by"] or (looked_at and row["ok"]):
            yield {
                "login_id": f"l{number:08d}", "ip": row["ip"],
                "outcome": "takeover" if row["by"] else "legitimate",
                "at": _text(row["at_s"]), "known_at": _text(row["at_s"] + later_s),
            }  # fmt: skip


def _text(at_s: float) -> str:
    moment = datetime.fromtimestamp(int(at_s * 1000) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(folder: Path, records: dict[str, list[dict[str, Any]]], form: str) -> list[Path]:
    """Write one file a topic: a JSON document a line, or a Parquet table of the same documents."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for topic, rows in records.items():
        path = folder / f"{topic}.{form}"
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
        else:
            path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
        paths.append(path)
    return paths


def main() -> None:
    """Write the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--format", choices=("ndjson", "parquet"), default="ndjson")
    asked = parser.parse_args()
    plan = Plan(seed=asked.seed, accounts=asked.accounts, days=asked.days)
    for path in write(asked.folder, generate(plan), asked.format):
        print(path)  # noqa: T201  # a script's answer


if __name__ == "__main__":
    main()
