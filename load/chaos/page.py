"""The page docs/chaos.md: what is done, and the tables of all that was stored in load/results/chaos/."""

from pathlib import Path

import orjson

from load.chaos.report import RESULTS, table
from load.oracle.planted import Planted
from load.oracle.planted import table as planted_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "chaos.md"
PLANTED = "planted.json"
KINDS = {"seed": "Runs", "logins": "Runs of the logins"}  # how names of reports begin
TEXT = """<!-- made by `python -m load.chaos page`; edit load/chaos/page.py instead -->

# Chaos runs

`headrace chaos --seed N` brings up Kafka, Redis and every worker for itself, sends payments and labels at a
steady rate, strikes processes and servers with faults drawn from the seed, waits until the pipeline comes
to rest, and has an oracle judge every value. It exits with 1 when a count that must be zero is not.
`--project DIR` does the same with any project that has a `generate.py`: its records are repeated, reworded,
delayed, changed under their id, and broken field by field as the contracts have them.

The load holds repeats (same bytes, other bytes), ids used again for other content, late, out-of-order and
ancient payments, and broken records with the code that must be on each. The faults, each drawn once before
any comes again:

| group | what |
|---|---|
| `kill` | SIGKILL of a gate, customer stage, terminal stage, scorer, archive, learner or HTTP API |
| `term` | SIGTERM of one, as an orchestrator restarts it |
| `pause` | SIGSTOP of one for longer than its session while another takes over, then SIGCONT: a zombie |
| `scale` | one worker of a kind becomes three and one again (the learner is one a run, the API has a port) |
| `point` | the process ends at a named point of its code (`contracts/crash_points.py`) |
| `raise` | an exception (MemoryError, TypeError, OSError, KafkaException) at a named point of any worker |
| `zombie` | the process stops at such a point until another owns its partitions, and goes on from there |
| `model` | another version becomes champion, or canary for half; the scorers are seen to use it |
| `broker` | SIGKILL of Kafka and restart on its log; SIGSTOP of Kafka |
| `redis` | SIGKILL and an empty restart; FLUSHALL; SIGSTOP |
| `malformed` | nonsense on `transactions`, `labels`, `verdicts`; strangers' frames between the stages |
| `environment` | Redis read-only, out of memory, or an older copy; lake full; nonsense as policy or release |
| `damage` | records deleted unread, a partition added, offsets gone, rows evicted or garbled, a full disk |

A fault counts when it is proven to have struck (the process is dead or stopped, the point was reached)
while input remained; what is not proven is struck out and another is drawn. *Recovery* is the
longest that a payment waited for its prediction, of those sent from the strike until a quarter of a second
after the fault's cause was over; so it holds a broker's restart. Beside the service a bare producer and
consumer exchange records all the time: what they wait when Kafka is killed is the broker's own share.

Damage is borne, or a worker stops with a code; then the command that goes on is run as an operator does
(`offsets accept-loss`, `rebuild-store`, `topics check`, `policy activate`). One that fails, or accepts more
than was deleted, is `not_cured`. Of records that were deleted unread, and accepted as lost, nothing need have
come; what was read of them is judged like all others, for the run keeps a copy of what it deletes.

An exception counts as struck when it was raised. Its process must then end with a code from 70 to 79 and a
note that says why; one that goes on, or ends otherwise, is counted as `swallowed`. A caller asks the HTTP API
all the time: an answer that is no JSON, or a 500 whose process goes on, is `api_wrong`. `stopped` counts
times at which no payment was scored although the fault's surroundings must not stop scoring. The workers'
ends of a run are in its report, by code.

## The oracle
`load/oracle/` shares no code with the service; import-linter keeps it so. It takes the raw topics for what
was said, the topics between the stages for the order in which it came (folding lanes by its own reader),
and the features' declarations and the model as data. Records between the stages that no stage can have
written are set aside first: each must have a dead letter, and nothing else may come of it. From the others
it computes, in plain integers and the written formulas: every verdict and dead letter, every repeat, every
feature of every payment and label, every vector, every score with the model that the prediction names, rules
and decisions, every row of Redis, read by its own reader of Feast's format, and the counts of every report of
the learner, from the rows that it had read by then. All are compared bit for bit. Then it counts:

| count | what it means |
|---|---|
| `lost` | a good payment without prediction, or a good label that is not in `features.log` |
| `duplicate` | a second prediction, or a row that a reader of a lane takes twice |
| `phantom` | a prediction or row of what was never sent, or should have fallen out |
| `feature_mismatch` | a value, late flag or copied field with other bits |
| `score_mismatch` | score, rule, decision or model that the vector does not give |
| `store_mismatch` | a row of Redis with other values, moment or position; a row too many or too few |
| `order` | a row or prediction out of its lane's order, or in a partition not its own |
| `dlq_missing`, `dlq_extra` | a refused record without letter; a letter too many, or with other content |
| `aborted_read` | what a subscriber that was there all the time read is not what is there at the end |
| `lake_mismatch` | a row of a topic that is not in the lake once |
| `api_mismatch` | at rest, a feature that the HTTP API tells of a key is not the definition's |
| `quality_lost`, `quality_duplicate` | a record of the learner's is missing, or there twice |
| `quality_mismatch` | a count of the learner's is not what the rows give that it had read |
| `conservation` | raw payments are not predictions + letters + repeats, in some partition |

A project is data for the oracle ([0137](decisions/0137-the-oracle-reads-a-project-as-data.md)): it has
readers of its own for contracts, records, keys and rules. Where a project has no learner its counts are 0.

Batch views are not filled in these runs. Ten clean seeds do not prove "never": with no failure in n runs
the share of runs that fail is below 3/n with 95 % confidence.

Nearly all runs were made beside other work on the same two cores (tests and builds; a load of 5 to 15 most
of the time), so how long payments waited is an upper bound for these machines. Seed 41 is the scale-out run
(`--faults scale`): 13 times one worker of a kind became three and one again.

From seed 51 on the groups `raise`, `malformed` and `environment` are there, and workers have spares
([0091](decisions/0091-a-worker-keeps-its-place-in-the-group.md)). Nothing else ran beside seeds 51 to 54 but
some short measurements at the lowest priority: 400 records a second with all that watches them fill two cores
(a load of 7 to 9), so what a fault holds up drains slowly.
"""


def page(folder: Path = RESULTS) -> str:
    """Return the page's text from what is stored in a folder."""
    parts = [TEXT]
    for begins, title in KINDS.items():
        reports = [orjson.loads(path.read_bytes()) for path in sorted(folder.glob(f"{begins}-*.json"))]
        for minutes in sorted({report["minutes"] for report in reports}, reverse=True):
            some = [report for report in reports if report["minutes"] == minutes]
            parts += [f"## {title} of {minutes:g} min\n", table(some)]
    if (folder / PLANTED).exists():
        planted = [Planted(**row) for row in orjson.loads((folder / PLANTED).read_bytes())]
        parts += ["## Faults planted to prove the oracle\n", planted_table(planted)]
    return "\n".join(parts)
