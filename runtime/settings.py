"""What an operator may set on the guards that every worker has; read once, by `headrace`."""

from typing import Literal

import msgspec

Answer = Literal["refuse", "warn", "ignore"]


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker asks of its servers at its start and while it runs, and what it does about an answer.

    Every `look_s` seconds it looks at its topics and at Redis, every `look_thoroughly_s` also at the settings
    of topics and brokers and at the clocks. `replication` copies of a topic are wanted, of which `min_insync`
    must take a write: 0 means as many as there are brokers but at most three, and one less than that but at
    least one. A Redis that is a copy is answered by `on_replica`: it takes no rows, so stages keep theirs,
    and scoring goes on from the values that ride with each record. Offsets that nobody commits must be kept
    for `offsets_kept_min_h` hours: a worker that was away for longer does not know where it stood. Clocks
    that are `clock_warn_s` apart are told, and `clock_apart_max_s` is answered by `on_clock`.
    """

    look_s: float = 5.0
    look_thoroughly_s: float = 60.0
    replication: int = 0
    min_insync: int = 0
    on_replication: Answer = "warn"
    on_retention: Answer = "warn"
    offsets_kept_min_h: float = 168.0
    on_offsets_kept: Answer = "warn"
    clock_warn_s: float = 2.0
    clock_apart_max_s: float = 60.0
    on_clock: Answer = "refuse"
    on_eviction: Answer = "refuse"
    on_replica: Answer = "warn"
