"""On demand: `python -m tests.simulation --seeds 0-999`, perhaps `--rule-off B2`; `--table` for the docs."""

import argparse
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from tests.projects.logins import FOLDER, logins
from tests.simulation.payments import PAYMENTS
from tests.simulation.rules_off import RULES, without
from tests.simulation.scene import Scene
from tests.simulation.simulation import Outcome, simulate

TRACE_LINES = 60


def main() -> int:
    """Run the seeds; 1 when one of them failed though no rule was taken away."""
    options = _options()
    first, last = (int(part) for part in (options.seeds.split("-") * 2)[:2])
    if options.table:
        for name in RULES:
            print(row(name, range(first, last + 1)), flush=True)
        return 0
    scene = scene_at(options.project)
    began_s, failed, struck = time.process_time(), 0, Counter[str]()
    for seed in range(first, last + 1):
        outcome = run(seed, options.rule_off, scene)
        struck.update(outcome.faults)
        if outcome.wrong:
            failed += 1
            print(report(outcome, options.rule_off), flush=True)
    print(f"{last - first + 1} seeds, {failed} failed, {time.process_time() - began_s:.1f} s of CPU")
    print("struck: " + ", ".join(f"{count} {kind}" for kind, count in sorted(struck.items())))
    return int(failed > 0 and not options.rule_off)


def scene_at(folder: str) -> Scene:
    """Return the scene of a project's folder; without one that of the card payments.

    Raises:
        SystemExit: nobody has told the oracle about the project.
    """
    if not folder:
        return PAYMENTS
    if Path(folder).resolve() != FOLDER:
        sys.exit(
            f"the oracle is told about {FOLDER} and the card payments alone; see tests/projects/logins.py"
        )
    return logins()


def run(seed: int, rule_off: str = "", scene: Scene = PAYMENTS) -> Outcome:
    """Run one seed, perhaps with a rule taken away."""
    return simulate(seed, partial(without, rule_off) if rule_off else None, scene=scene)


def report(outcome: Outcome, rule_off: str = "") -> str:
    """Return what went wrong, the last steps, and the command that shows it again."""
    command = f"python -m tests.simulation --seeds {outcome.seed}" + (
        f" --rule-off {rule_off}" if rule_off else ""
    )
    return "\n".join(
        [
            f"seed {outcome.seed} failed; again: {command}",
            *(f"  {line}" for line in outcome.trace[-TRACE_LINES:]),
            *(f"  wrong: {what}" for what in outcome.wrong[:10]),
        ]
    )


def row(name: str, seeds: range) -> str:
    """Return a rule's line of the ablation table."""
    failing = [outcome for seed in seeds if (outcome := run(seed, name)).wrong]
    about = (RULES[name].__doc__ or "").strip()
    first = f"{failing[0].seed}" if failing else "none"
    return f"| {name} | {about} | {len(failing)} of {len(seeds)} | {first} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0-99", help="A-B, or one seed")
    parser.add_argument(
        "--rule-off", default="", choices=["", *RULES], help="take a rule of the protocol away"
    )
    parser.add_argument("--project", default="", help="the folder of a project that the oracle is told about")
    parser.add_argument("--table", action="store_true", help="print the ablation table over the seeds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
