"""What the event alone says: nulls of the wire are null to model and rules, decimals in their own unit."""

import math
from pathlib import Path

import numpy as np

from contracts.frame import strings
from contracts.keys import NULL
from features.project.running import running_project
from features.vector import VectorMaker
from inference.policy.policy import read_policy
from inference.policy.rules import Outcome, RuleBook, declared_rules
from tests.project_maker import FEATURES, POLICY, write_project

GIVEN = FEATURES.replace('event=["channel", "hour_of_day"]', 'event=["clicks", "amount", "channel"]')
RULE = """\
  nothing_told:
    when: balance is null
    severity: challenge
    reason: The balance is not told.
  in_debt:
    when: not (balance >= 0)
    severity: deny
    reason: The balance is below nothing.
"""


def test_a_model_is_given_nulls_and_decimals_as_the_contract_means_them(tmp_path: Path) -> None:
    project = running_project(write_project(tmp_path / "p", GIVEN))
    event = {
        "clicks": np.array([NULL, 3]), "amount": np.array([-1_025, NULL]), "channel": strings(["", "app"]),
    }  # fmt: skip
    found = VectorMaker(project).event_features(event)
    assert math.isnan(found["clicks"][0])
    assert found["clicks"][1] == 3.0
    assert found["amount"][0] == -10.25
    assert math.isnan(found["amount"][1])
    assert found["channel"].tolist() == [0.0, 2.0]


def test_a_null_of_the_event_is_null_to_a_rule(tmp_path: Path) -> None:
    project = running_project(write_project(tmp_path / "p", policy=POLICY + RULE))
    policy = read_policy(project.policy_path, project).policy
    book = RuleBook(declared_rules(policy.rules, project), project.service.columns, project)
    rows = {"balance": np.array([NULL, -5, 5]), "channel": strings(["web"] * 3)}
    told = book.judge(np.zeros((3, len(project.service.columns))), rows)
    hits = {
        rule.id: (told[:, at] == Outcome.HIT).tolist()
        for at, rule in enumerate(book.rules)
        if rule.id in RULE
    }
    assert hits == {"nothing_told": [True, False, False], "in_debt": [False, True, False]}
