"""Every mistake of a project is shown in one run: file, line, what, what to do, the nearest right name."""

from pathlib import Path

import pytest

from contracts.problem import Problem
from features.project.check import check_project
from features.project.load import load_project
from runtime.project_folder import INSTALLED
from tests.project_maker import FEATURES, LOGINS, POLICY, TAKEOVERS, write_project

NAME_ONE = "name a feature or a field of the event"
CHOOSE = "choose one of: allow, challenge, deny"
SAME = "use letters, digits and _, first no digit, no keyword"
BY_ACCOUNT = 'view(account, logins, [count("1h 24h"), distinct("device_id", "24h"), since_last()])'
EVENT = 'event=["channel", "hour_of_day"]'


def asks(features: str, more: str = "") -> str:
    """The declarations with other features of the account."""
    return FEATURES.replace(BY_ACCOUNT, f'view(account, logins, [count("1h 24h"), {features}]{more})')


FEATURE_CASES = {
    "a key that the contract lacks": (
        FEATURES.replace('Entity("device_id")', 'Entity("devise_id")'),
        (8, "E_DECLARE_KEY", "the view 'devise_logins' needs the key 'devise_id': no field 'devise_id' in"
         " contracts/logins.yaml", "add the field to the contract, or take the view away", "device_id"),
    ),
    "a label that cannot reach its entity": (
        FEATURES.replace("view(ip, takeovers", "view(device, takeovers").replace("device, ip]", "device]"),
        (9, "E_DECLARE_LABEL", "a label of 'takeovers' cannot reach 'device': no field 'device_id' in"
         " contracts/takeovers.yaml", "add the field to the contract, or take the view away", ""),
    ),
    "labels of what is not scored": (
        FEATURES.replace("labels=logins", 'labels=Source("contracts/logins.yaml", name="old_logins")'),
        (4, "E_DECLARE_LABEL", "'takeovers' labels a source that is not scored",
         "write labels= with the scored source, 'logins'", ""),
    ),
    "labels that do not say what is positive": (
        FEATURES.replace(', positive=col("outcome") == "takeover"', ""),
        (4, "E_DECLARE_LABEL", "'takeovers' does not say which labels are positive",
         'write positive=, as col("outcome") == "takeover"', ""),
    ),
    "an unknown field": (
        asks('distinct("devise_id", "24h")'),
        (6, "E_DECLARE_FIELD", "distinct of 'devise_id': no such field in contracts/logins.yaml",
         "name a field of the contract", "device_id"),
    ),
    "an unknown field of the event": (
        FEATURES.replace(EVENT, 'event=["chanel"]'),
        (10, "E_DECLARE_FIELD", "takeover: no field 'chanel' in {folder}/contracts/logins.yaml",
         "name a field of the contract, or one of hour_of_day, is_night, is_weekend", "channel"),
    ),
    "a text that is to be added up": (
        asks('mean_of("channel", "24h")'),
        (6, "E_DECLARE_MEASURE", "mean of 'channel', which is a string",
         "name a whole number, a decimal or a truth value", ""),
    ),
    "a float that is to be added up": (
        asks('mean_of("speed", "24h")'),
        (6, "E_DECLARE_MEASURE", "mean of 'speed', which is a number",
         "declare it as decimal(digits, scale) in its contract: sums of floats depend on their order", ""),
    ),
    "a measure without a range": (
        asks('max_of("free", "24h")'),
        (6, "E_DECLARE_RANGE", "max of 'free': its contract gives it no range",
         "give 'free' a minimum and a maximum in its contract", ""),
    ),
    "a filter by a personal field": (
        FEATURES.replace('where=col("result") == "failed"', 'where=col("ip") == "192.0.2.1"'),
        (7, "E_DECLARE_PERSONAL",
         "the filter of 'failed' reads 'ip', which is personal: no stage sees it as it is",
         "leave it out; distinct, top_share, first_seen and same_as_last may tell its values apart", ""),
    ),
    "a share of a personal condition": (
        asks('share("1h", col("ip") != "192.0.2.1")'),
        (6, "E_DECLARE_PERSONAL", "share reads 'ip', which is personal: no stage sees it as it is",
         "leave it out; distinct, top_share, first_seen and same_as_last may tell its values apart", ""),
    ),
    "labels that are positive by a personal field": (
        FEATURES.replace('positive=col("outcome") == "takeover"', 'positive=col("ip") == "192.0.2.1"'),
        (4, "E_DECLARE_PERSONAL",
         "positive= of 'takeovers' reads 'ip', which is personal: no stage sees it as it is",
         "say it by another field", ""),
    ),
    "a signed measure where none may be": (
        asks('quantile_of("balance", 500, "24h")'),
        (6, "E_DECLARE_SIGNED", "quantile of 'balance', which may be negative (-500)",
         "use sum_of, mean_of, min_of, max_of or std_of, or a contract whose minimum is 0", ""),
    ),
    "a sum that may not be served exactly": (
        asks('sum_of("amount", "24h")', ", rows_max=10_000_000"),
        (6, "E_DECLARE_OVERFLOW",
         "sum of 'amount': values up to 999999999 leave room for 9007199 rows of a key,"
         " and 10000000 are to fit",
         "narrow the range of 'amount' in its contract, or give the view rows_max=9007199 or less", ""),
    ),
    "a text that is no window": (
        asks('count("1 hour", name="x")'),
        (6, "E_WINDOW_TEXT", "count: '1' is no window or length of time",
         "write lengths as 30m, 1h, 7d or 1d12h, and lifetime, session_30m, last_10 or 7d_delay_7d", ""),
    ),
    "a window that does not fit": (
        asks('distinct("device_id", "lifetime", name="devices")'),
        (6, "E_FEATURE_KIND", "devices_lifetime: distinct is not kept over a lifetime window",
         "choose one of: sawtooth", ""),
    ),
    "no window where one is needed": (
        asks('max_of("clicks", "")'),
        (6, "E_FEATURE_WINDOW", "account_logins_clicks_max: max needs a window", "give it a window", ""),
    ),
    "a view of which no row is forgotten": (
        FEATURES.replace('view(device, logins, [count("1h")])', "view(device, logins, [since_last()])"),
        (8, "E_VIEW_HORIZON", "device_logins: nothing says when a row may be forgotten",
         "give the view a feature over a length of time, or over the lifetime", ""),
    ),
    "a view without features": (
        FEATURES.replace('view(device, logins, [count("1h")])', "view(device, logins, [])"),
        (8, "E_DECLARE_FEATURE", "the view 'device_logins' has no features",
         "give it aggregations, or take it away", ""),
    ),
    "what is no feature": (
        FEATURES.replace('view(device, logins, [count("1h")])', 'view(device, logins, [count("1h"), "1h"])'),
        (8, "E_DECLARE_FEATURE", "'1h' is no feature",
         'write aggregations such as count("1h 24h"), or Feature(...)', ""),
    ),
    "too many values for k": (
        asks('last_values("clicks", 99)'),
        (6, "E_AGGREGATION_K", "last_k: the last 99 values", "give k from 1 to 64", ""),
    ),
    "two features of one name": (
        FEATURES.replace('count("1h 24h")], where', 'count("1h 24h"), count("24h")], where'),
        (7, "E_FEATURE_NAME", "two features of the name 'failed_count_24h': the other stands on line 7",
         "give one of them another name=", ""),
    ),
    "two views of one name": (
        FEATURES.replace('name="failed"', 'name="account_logins", prefix="failed"'),
        (7, "E_DECLARE_NAME", "two views of the name 'account_logins': the other stands on line 6",
         "give one of them another name=", ""),
    ),
    "a name that no expression can use": (
        FEATURES.replace('Project("logins"', 'Project("the-logins"'),
        (14, "E_DECLARE_NAME", "the project 'the-logins' has no usable name", SAME, ""),
    ),
    "a chain that names no view": (
        FEATURES.replace("chain=[account, device, ip]", 'chain=[account, device, ip, Entity("channel")]'),
        (14, "E_DECLARE_CHAIN", "the chain's entity 'channel' has no view",
         "give it a view and name the view in a model, or take the entity out of the chain", ""),
    ),
    "a view that no record visits": (
        FEATURES.replace("chain=[account, device, ip]", "chain=[account, ip]"),
        (8, "E_DECLARE_CHAIN", "the view 'device_logins' is of 'device', which is not in the chain",
         "add the entity to the project's chain", ""),
    ),
    "an unknown name in a filter": (
        FEATURES.replace('where=col("result")', 'where=col("reslt")'),
        (7, "E_EXPRESSION_NAME", "there is no column 'reslt'", "name one that is there", "result"),
    ),
    "an unknown name in a derived feature": (
        FEATURES.replace('col("failed_count_24h")', 'col("failed_count_2h")'),
        (10, "E_EXPRESSION_NAME", "failed_share: there is no column 'failed_count_2h'",
         "name one that is there", "failed_count_24h"),
    ),
    "a contract that is not there": (
        FEATURES.replace('Source("contracts/logins.yaml")', 'Source("contracts/login.yaml", name="logins")'),
        (3, "E_DECLARE_CONTRACT", "no contract 'contracts/login.yaml' in {folder}",
         "name a file of the project's folder", "contracts/logins.yaml"),
    ),
    "a maturity that is no time": (
        FEATURES.replace("labels=logins,", 'labels=logins, maturity="soon",'),
        (4, "E_WINDOW_TEXT", "maturity of 'takeovers': 'soon' is no window or length of time",
         "write lengths as 30m, 1h, 7d or 1d12h, and lifetime, session_30m, last_10 or 7d_delay_7d", ""),
    ),
    "money that is none": (
        FEATURES.replace('money="amount"', 'money="clicks"'),
        (14, "E_DECLARE_MONEY", "money: 'clicks' has no currency in {folder}/contracts/logins.yaml",
         "give the field a whole or decimal type, and the custom property currencyField", ""),
    ),
    "a text that is no category": (
        FEATURES.replace(EVENT, 'event=["device_id"]'),
        (10, "E_DECLARE_CATEGORY", "takeover: 'device_id' is a string, no number or category",
         "give the contract its values as an enum, or use the field as a key or an item", ""),
    ),
    "SQL that is not there": (
        FEATURES.replace("views=[", 'views=[batch_view(account, "sql/x.sql", ["usual"], name="habit",'
                         ' max_age="8d"), '),
        (11, "E_DECLARE_SQL",
         "the view 'habit': 'sql/x.sql' cannot be read: FileNotFoundError(2, 'No such file or directory')",
         "name an SQL file of the project's folder", ""),
    ),
    "no Python": (
        FEATURES.replace("derived={", "derived={{"),
        (13, "E_PROJECT_PYTHON", "no Python: closing parenthesis ')' does not match opening parenthesis '{'"
         " on line 12",
         "correct the line", ""),
    ),
    "an import of what is not there": (
        FEATURES.replace("import *", "import Sorce"),
        (1, "E_PROJECT_PYTHON", "headrace has no 'Sorce'", "import what headrace has", "Source"),
    ),
    "an error of the program": (
        FEATURES.replace('Entity("device_id")', "Entity(device_id)"),
        (5, "E_PROJECT_PYTHON", "NameError: name 'device_id' is not defined", "correct the line", ""),
    ),
    "no project": (
        FEATURES + "del project\n",
        (1, "E_PROJECT_NONE", "it declares no project", "write one project = Project(...)", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FEATURE_CASES)
def test_a_mistake_in_the_declarations_is_named_whole(tmp_path: Path, case: str) -> None:
    features, (line, code, what, remedy, nearest) = FEATURE_CASES[case]
    assert features != FEATURES
    folder = write_project(tmp_path, features)
    expected = Problem(
        file=str(folder / "features.py"), line=line, code=code, what=what.replace("{folder}", str(folder)),
        remedy=remedy, nearest=nearest,
    )  # fmt: skip
    assert [problem for problem in check_project(folder).problems if problem.file.endswith(".py")] == [
        expected
    ]


POLICY_CASES = {
    "a rule on what no model has": (
        POLICY.replace("when: failed_count_1h", "when: failed_count_2h"),
        (
            11, "E_POLICY_FEATURE", "'failed_count_2h' is no feature of the project", NAME_ONE,
            "failed_count_24h",
        ),
    ),
    "a reason with what no model has": (
        POLICY.replace("feature: failed_count_1h", "feature: failed_shares"),
        (14, "E_POLICY_FEATURE", "'failed_shares' is no feature of the project", NAME_ONE, "failed_share"),
    ),
    "a bound on what no model has": (
        POLICY + "gatekeeper:\n  clear:\n    failed_shares: {at_most: 0}\n",
        (18, "E_POLICY_FEATURE", "'failed_shares' is no feature of the project", NAME_ONE, "failed_share"),
    ),
    "a decision that is not declared": (
        POLICY.replace("severity: challenge", "severity: chalenge"),
        (13, "E_POLICY_DECISION", "there is no decision 'chalenge'", CHOOSE, "challenge"),
    ),
    "a threshold of no decision": (
        POLICY.replace("deny: 0.9", "denied: 0.9"),
        (7, "E_POLICY_DECISION", "there is no decision 'denied'", CHOOSE, "deny"),
    ),
    "a fallback that is not declared": (
        POLICY.replace("fallback: challenge", "fallback: approve"),
        (8, "E_POLICY_DECISION", "there is no decision 'approve'", CHOOSE, ""),
    ),
    "a rule that cannot be read": (
        POLICY.replace("failures and", "failures &&"),
        (
            11, "E_EXPRESSION_SYNTAX",
            "it cannot be read: invalid syntax: character 30 of"
            " \"failed_count_1h >= failures && channel == 'web'\"",
            "write `and` and `or`", "",
        ),
    ),
    "a rule of the wrong type": (
        POLICY.replace(">= failures and channel == 'web'", "+ failures"),
        (
            11, "E_EXPRESSION_TYPE", "a number where a condition is needed: 'failed_count_1h + failures'",
            "compare it with a figure", "",
        ),
    ),
    "a part that is missing": (
        POLICY.replace("    severity: challenge\n", ""),
        (10, "E_POLICY_FIELD", "severity is missing", "add `severity:`", ""),
    ),
    "a rule that is none": (
        POLICY + "  night: true\n",
        (16, "E_POLICY_FIELD", "the rule 'night' is True", "write a mapping there", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", POLICY_CASES)
def test_a_mistake_in_the_policy_is_named_whole(tmp_path: Path, case: str) -> None:
    policy, (line, code, what, remedy, nearest) = POLICY_CASES[case]
    folder = write_project(tmp_path, policy=policy)
    expected = Problem(
        file=str(folder / "policy.yaml"), line=line, code=code, what=what, remedy=remedy, nearest=nearest
    )
    assert check_project(folder).problems == (expected,)


def test_a_category_of_ten_thousand_values_is_refused(tmp_path: Path) -> None:
    values = ", ".join(f"{{value: v{number}}}" for number in range(10_000))
    folder = write_project(tmp_path, logins=LOGINS.replace("{value: web}, {value: app}", values))
    (problem,) = (each for each in check_project(folder).problems if each.file.endswith("features.py"))
    assert (problem.line, problem.code, problem.what, problem.remedy) == (
        10, "E_DECLARE_CATEGORY", "takeover: the category 'channel' has 10,000 values, more than 1,000",
        "group its values in a field of fewer, or make it the item of a distinct count or a key",
    )  # fmt: skip


def test_what_a_contract_lacks_is_a_mistake_of_whoever_needs_it(tmp_path: Path) -> None:
    logins = LOGINS.replace("logicalType: timestamp", "logicalType: string")
    takeovers = TAKEOVERS.replace(
        "customProperties:\n  - {property: knownAt, value: known_at}\n", ""
    ).replace(", primaryKey: true", "")
    folder = write_project(tmp_path, logins=logins, takeovers=takeovers)
    assert [(each.line, each.code, each.what) for each in check_project(folder).problems] == [
        (3, "E_DECLARE_TIME", "contracts/logins.yaml does not say an event's time"),
        (4, "E_DECLARE_LABEL", "contracts/takeovers.yaml does not say which record a label is of"),
        (4, "E_DECLARE_TIME", "contracts/takeovers.yaml does not say when a label became known"),
    ]


def test_mistakes_of_all_files_are_shown_at_once(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path,
        asks('distinct("devise_id", "24h"), count("1x", name="x")').replace('col("result")', 'col("reslt")'),
        LOGINS.replace("maximum: 1000", "maximum: many"),
        TAKEOVERS.replace("value: known_at", "value: knwon_at"),
        POLICY.replace("deny: 0.9", "denied: 0.9"),
    )
    found = [
        (Path(each.file).name, each.line, each.code, each.nearest) for each in check_project(folder).problems
    ]
    assert found == [
        ("logins.yaml", 22, "E_ODCS_RANGE", ""),
        ("takeovers.yaml", 6, "E_ODCS_REFERENCE", "known_at"),
        ("features.py", 6, "E_DECLARE_FIELD", "device_id"),
        ("features.py", 6, "E_WINDOW_TEXT", ""),
        ("features.py", 7, "E_EXPRESSION_NAME", "result"),
        ("policy.yaml", 7, "E_POLICY_DECISION", "deny"),
    ]


def test_a_project_that_is_right_has_no_problems(tmp_path: Path) -> None:
    project = check_project(write_project(tmp_path))
    assert project.problems == ()
    (model,) = project.models
    assert model.columns == (
        "channel", "hour_of_day", "account_logins_count_1h", "account_logins_count_24h",
        "account_logins_device_id_distinct_24h", "account_logins_since_last_ms", "failed_count_1h",
        "failed_count_24h", "device_logins_count_1h", "ip_takeovers_count_7d", "ip_takeovers_share_7d",
        "failed_share",
    )  # fmt: skip
    assert project.needs == (
    )  # fmt: skip
    assert check_project(INSTALLED).problems == ()


def test_the_folder_of_a_project_is_left_as_it_was_and_answers_to_no_import(tmp_path: Path) -> None:
    folder = write_project(tmp_path, FEATURES + "import features\nassert features.__path__\n")
    before = sorted(folder.rglob("*"))
    assert load_project(folder).problems == ()
    assert sorted(folder.rglob("*")) == before
