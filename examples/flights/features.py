"""Flights out of New York: which come in late, by what carrier, airports and aircraft did before."""

from headrace import (
    Decision,
    Entity,
    Model,
    Project,
    Source,
    col,
    count,
    distinct,
    last_of,
    mean_of,
    ratio,
    share,
    since_last,
    view,
)

schedules = Source("contracts/schedules.yaml")
departures = Source("contracts/departures.yaml")
arrivals = Source("contracts/arrivals.yaml", labels=schedules, positive=col("outcome") == "late")

carrier, origin, dest, tail = Entity("carrier"), Entity("origin"), Entity("dest"), Entity("tail")

late_out = col("dep_delay_min") > 15


def left(entity, windows):
    """Return how flights of a key left: how many, how late on average, which share of them late."""
    name = f"{entity.name}_out"
    return view(entity, departures, name=name, features=[
        count(windows), mean_of("dep_delay_min", windows, name=f"{name}_delay_mean"),
        share(windows, late_out, name=f"{name}_late_share"),
    ])  # fmt: skip


def came_in(entity, windows):
    """Return the same of how they came in, as far as it is known by then."""
    name = f"{entity.name}_in"
    return view(entity, arrivals, name=name, features=[
        count(windows), mean_of("arr_delay_min", windows, name=f"{name}_delay_mean"),
        share(windows, name=f"{name}_late_share"),
    ])  # fmt: skip


# Flights ask two hours ahead: those of the hour before last are due out in this one.
queue = view(origin, schedules, [count("1h 3h 1h_delay_2h 3h_delay_2h")], name="origin_due")
rotation = view(tail, schedules, [count("24h"), since_last(), distinct("dest", "24h")])
aircraft_out = view(
    tail, departures, name="tail_out",
    features=[
        count("6h 24h"), mean_of("dep_delay_min", "6h 24h", name="tail_out_delay_mean"),
        last_of("dep_delay_min", name="tail_out_delay_last"), since_last(),
    ],
)  # fmt: skip
aircraft_in = view(
    tail, arrivals, name="tail_in",
    features=[count("6h 24h"), mean_of("arr_delay_min", "3h 6h 24h 7d", name="tail_in_delay_mean")],
)  # fmt: skip

late = Model(
    "late",
    event=["carrier", "origin", "hour_of_day", "is_weekend", "distance_miles", "planned_min"],
    views=[
        left(carrier, "1h 3h 24h"), came_in(carrier, "3h 24h 7d"),
        queue, left(origin, "1h 3h 24h"), came_in(origin, "3h 24h 7d"),
        left(dest, "3h 24h"), came_in(dest, "3h 24h 7d"),
        rotation, aircraft_out, aircraft_in,
    ],
    derived={"origin_left_share_3h": ratio(col("origin_out_count_3h"), col("origin_due_count_3h_delay_2h"))},
    label=arrivals,
)  # fmt: skip
project = Project(
    "flights", scored=schedules, chain=[carrier, origin, dest, tail], models=[late],
    decisions=[Decision("on_time"), Decision("watch", queue=True), Decision("late")],
)  # fmt: skip
