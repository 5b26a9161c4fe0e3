"""Twenty files of records as strangers write them, made by seeds; and what a person would say of each.

No two have the same way of saying a time, a number or an id. The truth is said by the fields' names as a
contract has them.
"""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 180
START = datetime(2025, 3, 3, 6, tzinfo=UTC)


class Truth(NamedTuple):
    """What a person would say: the time, the id ("" for none), keys, measures, what is personal."""

    time: str
    id: str
    keys: frozenset[str]
    measures: frozenset[str]
    personal: frozenset[str] = frozenset()


class Sample(NamedTuple):
    """A file, what is true of it, and the column that is its label."""

    file: str
    data: bytes
    truth: Truth
    label: str = ""


def truth(time: str, id: str, keys: str, measures: str, personal: str = "") -> Truth:
    """Return a truth of words."""
    return Truth(time, id, *(frozenset(each.split()) for each in (keys, measures, personal)))


def moments(rng: random.Random, minutes: float = 90, rows: int = ROWS) -> list[datetime]:
    """Return moments one after the other."""
    at, found = START, []
    for _ in range(rows):
        at += timedelta(seconds=int(rng.expovariate(1 / (60 * minutes))) + 1)
        found.append(at)
    return found


def table(
    names: Sequence[str], rows: Iterable[Sequence[Any]], separator: str = ",", encoding: str = "utf-8"
) -> bytes:
    """Return a CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """Return NDJSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(columns: dict[str, Any]) -> bytes:
    """Return a Parquet table."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def german_orders(rng: random.Random) -> Sample:
    rows = [
        (f"B{n:05d}", at.strftime("%d.%m.%Y %H:%M"), f"K{rng.randint(1, 30):03d}",
         f"{rng.uniform(1, 3000):_.2f}".replace(".", ",").replace("_", "."), rng.choice(["ja", "nein"]))
        for n, at in enumerate(moments(rng, 240))
    ]  # fmt: skip
    names = ("Bestell-Nr", "Zeitpunkt", "Kunden-Nr", "Betrag (EUR)", "Neukunde")
    return Sample("Bestellungen 2025.csv", table(names, rows, ";"),
                  truth("zeitpunkt", "bestell_nr", "kunden_nr", "betrag_eur"))  # fmt: skip


def american_taxis(rng: random.Random) -> Sample:
    rows = [
        (f"M{rng.randint(1, 25)}", at.strftime("%m/%d/%Y %I:%M:%S %p"), f"{rng.uniform(40.6, 40.9):.6f}",
         f"{rng.uniform(-74.1, -73.8):.6f}", rng.randint(1, 5), f"${rng.uniform(3, 90):.2f}")
        for at in moments(rng, 240)
    ]  # fmt: skip
    names = ("Medallion ID", "Pickup DateTime", "Pickup Lat", "Pickup Lon", "Passengers", "Total")
    return Sample("taxi.csv", table(names, rows),
                  truth("pickup_date_time", "", "medallion_id", "passengers total"))  # fmt: skip


def nested_clicks(rng: random.Random) -> Sample:
    zone = timezone(timedelta(hours=2))
    rows = [
        {"event": {"uuid": f"{rng.getrandbits(128):032x}", "time": at.astimezone(zone).isoformat()},
         "user": {"id": f"u{rng.randint(1, 20)}"},
         "device": {"id": f"d{rng.randint(1, 40)}", "os": rng.choice("ab")},
         "tags": ["x"] * rng.randint(0, 2), "cart": {"total": round(rng.uniform(0, 99), 2)}}
        for at in moments(rng, 5)
    ]  # fmt: skip
    return Sample("clicks.ndjson", lines(rows), truth("time", "uuid", "user_id device_id", "total"))


def machines(rng: random.Random) -> Sample:
    rows = [
        (int(at.timestamp() * 1000), f"press-{rng.randint(1, 12)}", rng.gauss(60, 4), rng.randint(900, 1400))
        for at in moments(rng, 3)
    ]
    return Sample("machines.tsv", table(("ts", "machine", "temperature", "rpm"), rows, "\t"),
                  truth("ts", "", "machine", "rpm"))  # fmt: skip


def logins_as_texts(rng: random.Random) -> Sample:
    rows = [
        {"session": f"s-{n}", "epoch": str(int(at.timestamp())), "account": f"a{rng.randint(1, 25)}",
         "ip": f"203.0.113.{rng.randint(1, 40)}", "success": rng.random() < 0.8}
        for n, at in enumerate(moments(rng, 20))
    ]  # fmt: skip
    return Sample("auth.json", json.dumps(rows).encode(), truth("epoch", "session", "account ip", "", "ip"))


def card_table(rng: random.Random) -> Sample:
    at = moments(rng, 60)
    columns = {
        "tx_id": pa.array([10_000 + n for n in range(ROWS)]),
        "tx_time": pa.array(at, pa.timestamp("us", "UTC")),
        "card": pa.array([f"c{rng.randint(1, 30)}" for _ in at]),
        "merchant": pa.array([f"m{rng.randint(1, 15)}" for _ in at]),
        "amount": pa.array([Decimal(rng.randint(100, 90_000)).scaleb(-2) for _ in at], pa.decimal128(10, 2)),
        "is_fraud": pa.array([int(rng.random() < 0.1) for _ in at]),
    }
    return Sample(
        "tx.parquet", parquet(columns), truth("tx_time", "tx_id", "card merchant", "amount"), "is_fraud"
    )


def web_log(rng: random.Random) -> Sample:
    rows = [
        (f"198.51.100.{rng.randint(1, 30)}", at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
         rng.choice(["GET", "POST"]),
         rng.choice(["200", "404"]), rng.choice(["-", str(rng.randint(100, 90_000))]))
        for at in moments(rng, 2)
    ]  # fmt: skip
    return Sample("access.psv", table(("client_ip", "when", "method", "status", "bytes"), rows, "|"),
                  truth("when", "", "client_ip", "bytes", "client_ip"))  # fmt: skip


def french_tills(rng: random.Random) -> Sample:
    rows = [
        (at.strftime("%d/%m/%Y"), at.strftime("%H:%M"), f"magasin {rng.randint(1, 9)}",
         f"A{rng.randint(1, 60):03d}",
         rng.randint(1, 12), f"{rng.uniform(1, 80):.2f}".replace(".", ","))
        for at in moments(rng, 300)
    ]  # fmt: skip
    names = ("Date", "Heure", "Magasin", "Réf article", "Quantité", "Montant €")
    return Sample("ventes.csv", table(names, rows, ";", "cp1252"),
                  truth("date_heure", "", "magasin ref_article", "quantite montant"))  # fmt: skip


def phone_calls(rng: random.Random) -> Sample:
    rows = [
        (n + 1, at.strftime("%Y-%m-%d %H:%M:%S"), f"+4930{rng.randint(1, 25):07d}",
         f"+4940{rng.randint(1, 25):07d}",
         rng.randint(3, 3600), rng.choice(["yes", "no"]))
        for n, at in enumerate(moments(rng, 30))
    ]  # fmt: skip
    names = ("call_id", "start", "caller_phone", "callee_phone", "duration", "answered")
    phones = "caller_phone callee_phone"
    return Sample("calls.csv", table(names, rows), truth("start", "call_id", phones, "duration", phones))


def float_seconds(rng: random.Random) -> Sample:
    rows = [
        {"t": {"time": round(at.timestamp() + rng.random(), 3)}, "sensor_id": rng.randint(100, 115),
         "value": rng.gauss(0, 1)}
        for at in moments(rng, 1)
    ]  # fmt: skip
    return Sample("measured.jsonl", lines(rows), truth("time", "", "sensor_id", ""))


def mixed_types(rng: random.Random) -> Sample:
    rows = [
        {"order_id": f"o{n}", "created_at": at.isoformat().replace("+00:00", "Z"),
         "customer": rng.choice([rng.randint(1, 9), f"guest-{rng.randint(1, 9)}"]),
         "amount": rng.choice([lambda: round(rng.uniform(1, 50), 2), lambda: rng.randint(1, 50)])(),
         "note": rng.choice([None, "gift"])}
        for n, at in enumerate(moments(rng, 60))
    ]  # fmt: skip
    return Sample("orders.ndjson", lines(rows), truth("created_at", "order_id", "customer", "amount"))


def odd_names(rng: random.Random) -> Sample:
    rows = [
        (
            f"A-{n}",
            at.isoformat(),
            f"v{rng.randint(1, 20)}",
            rng.choice("xyz"),
            rng.randint(0, 500),
            'a "b",\nc',
            "",
        )
        for n, at in enumerate(moments(rng, 60))
    ]
    names = ("Order ID", "True Time", "Vehicle ID", "class", "In", "Free Text, quoted", "empty")
    return Sample("odd names!.csv", table(names, rows, encoding="utf-8-sig"),
                  truth("true_time", "order_id", "vehicle_id", "in_field"))  # fmt: skip


def japanese(rng: random.Random) -> Sample:
    rows = [
        (at.strftime("%Y/%m/%d %H:%M"), f"顧客{rng.randint(1, 25)}", rng.randint(100, 9_999))
        for at in moments(rng, 120)
    ]
    return Sample(
        "売上.csv", table(("日時", "顧客番号", "金額"), rows), truth("field_1", "", "field_2", "field_3")
    )


def claims_by_day(rng: random.Random) -> Sample:
    rows = [
        (f"CL{n:04d}", at.strftime("%Y-%m-%d"), f"P{rng.randint(1, 40)}", f"{rng.uniform(50, 9000):.2f}",
         rng.choice(["open", "closed"]))
        for n, at in enumerate(moments(rng, 900))
    ]  # fmt: skip
    names = ("claim_number", "date_of_loss", "policy_number", "claimed", "status")
    return Sample(
        "claims.csv", table(names, rows), truth("date_of_loss", "claim_number", "policy_number", "claimed")
    )


def games(rng: random.Random) -> Sample:
    rows = [
        {"at": int(at.timestamp() * 1_000_000), "player": f"p{rng.randint(1, 15)}",
         "level": rng.randint(1, 9),
         "points": rng.randint(-200, 900)}
        for at in moments(rng, 1)
    ]  # fmt: skip
    return Sample("games.ndjson.gz", gzip.compress(lines(rows), mtime=0), truth("at", "", "player", "points"))


def bookkeeping(rng: random.Random) -> Sample:
    def amount() -> str:
        number = rng.uniform(-4000, 9000)
        return f"({-number:,.2f})" if number < 0 else f"{number:,.2f}"

    rows = [(at.strftime("%d-%b-%y"), f"GL-{n}", rng.choice(["4000", "4100", "5000"]),
             f"V{rng.randint(1, 20)}", amount())
            for n, at in enumerate(moments(rng, 500))]  # fmt: skip
    names = ("Posted", "Entry No", "Ledger", "Vendor", "Amount GBP")
    return Sample("ledger.txt", table(names, rows), truth("posted", "entry_no", "vendor", "amount_gbp"))


def naive_table(rng: random.Random) -> Sample:
    at = [each.replace(tzinfo=None) for each in moments(rng, 4)]
    columns = {
        "event_ts": pa.array(at, pa.timestamp("ns")),
        "station": pa.array([f"st{rng.randint(1, 10)}" for _ in at]).dictionary_encode(),
        "level_cm": pa.array([rng.choice([float("nan"), round(rng.uniform(0, 400), 1)]) for _ in at]),
    }
    return Sample("levels.parquet", parquet(columns), truth("event_ts", "", "station", "level_cm"))


def pandas_export(rng: random.Random) -> Sample:
    rows = [
        (
            n,
            rng.randint(1, 30),
            f"sku{rng.randint(1, 50)}",
            at.strftime("%Y-%m-%d %H:%M:%S.%f"),
            rng.uniform(1, 9),
        )
        for n, at in enumerate(moments(rng, 45))
    ]
    return Sample("export.csv", table(("", "user_id", "sku", "ordered", "price"), rows),
                  truth("ordered", "", "user_id sku", ""))  # fmt: skip


def hospital(rng: random.Random) -> Sample:
    rows = [
        (at.strftime("%Y%m%d%H%M%S"), f"{rng.randint(1, 40):06d}", rng.choice(["A01", "B12", "C33"]),
         rng.randint(1, 9), f"{rng.uniform(35, 41):.1f}", f"Dr. {rng.choice('ABC')}. {rng.choice('XYZ')}ow")
        for at in moments(rng, 120)
    ]  # fmt: skip
    names = ("event_time", "patient_id", "diagnosis", "ward", "temp_c", "doctor_name")
    return Sample("visits.csv", table(names, rows),
                  truth("event_time", "", "patient_id", "ward temp_c", "doctor_name"))  # fmt: skip


def repositories(rng: random.Random) -> Sample:
    rows = [
        {"id": str(40_000_000_000 + n), "type": rng.choice(["PushEvent", "IssuesEvent"]),
         "actor": {"id": (who := rng.randint(1, 20)), "login": f"dev{who}"},
         "repo": {"id": (what := rng.randint(1, 30)), "name": f"o/r{what}"}, "public": True,
         "payload": {"size": rng.randint(1, 30)} if rng.random() < 0.7 else {"action": "opened"},
         "created_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        for n, at in enumerate(moments(rng, 8))
    ]  # fmt: skip
    return Sample("events.json", lines(rows), truth("created_at", "id", "actor_id repo_id login", "size"))


MAKERS: tuple[Callable[[random.Random], Sample], ...] = (
    german_orders, american_taxis, nested_clicks, machines, logins_as_texts, card_table, web_log,
    french_tills, phone_calls, float_seconds, mixed_types, odd_names, japanese, claims_by_day, games,
    bookkeeping, naive_table, pandas_export, hospital, repositories,
)  # fmt: skip


def samples() -> dict[str, Sample]:
    """Return all files by what they are."""
    return {make.__name__: make(random.Random(number)) for number, make in enumerate(MAKERS)}
