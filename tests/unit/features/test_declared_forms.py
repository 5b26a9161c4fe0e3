"""Every form of a declaration: what it is called, what it lowers to, what it asks for that is not run yet."""

from pathlib import Path

import numpy as np
import pytest

from features.definition import Entity, Window, definitions_hash
from features.expressions import text_type
from features.project.check import check_project
from features.project.compiled import CompiledProject, CompiledView
from features.project.durations import windows_of
from features.project.running import RunningProject
from features.state import EntityState
from tests.project_maker import FEATURES, LOGINS, write_project


def project_with(folder: Path, declared: str, before: str = "") -> CompiledProject:
    """A project whose account has this view beside the one it had."""
    text = FEATURES.replace("by_device =", f"{before}other = {declared}\nby_device =")
    return check_project(write_project(folder, text.replace("views=[by_account", "views=[other, by_account")))


def other(project: CompiledProject) -> CompiledView:
    assert project.problems == ()
    return project.views[0]


NAMES = {
    'sum_of("clicks", "1h 24h")': ("more_clicks_sum_1h", "more_clicks_sum_24h"),
    'mean_of("clicks", "24h", before=True)': ("more_clicks_mean_24h_before",),
    'min_of("balance", "lifetime")': ("more_balance_min_lifetime",),
    'max_of("clicks", "7d_delay_7d")': ("more_clicks_max_7d_delay_7d",),
    'std_of("clicks", "session_30m")': ("more_clicks_std_session_30m",),
    'quantile_of("clicks", 950, "24h")': ("more_clicks_quantile_950_24h",),
    'first_of("clicks", "last_10")': ("more_clicks_first_last_10",),
    'since_first("lifetime")': ("more_since_first_lifetime_ms",),
    'last_of("clicks")': ("more_clicks_last",),
    'last_values("clicks", 2)': ("more_clicks_last_2_1", "more_clicks_last_2_2"),
    "since_last()": ("more_since_last_ms",),
    'distinct(("device_id", "channel"), "24h")': ("more_device_id_channel_distinct_24h",),
    'top_share("device_id", 3, "24h")': ("more_device_id_top_3_share_24h",),
    'decayed_sum("clicks", "1h")': ("more_clicks_decayed_sum_1h",),
    'share("24h", col("channel") == "web")': ("more_channel_share_24h",),
    'same_as_last("channel")': ("more_channel_same_as_last",),
    'first_seen("device_id")': ("more_device_id_first_seen_lifetime",),
    'count("1h", name="logins_of_all")': ("logins_of_all_1h",),
    "count((Window.of(hours=6),))": ("more_count_6h",),
}


@pytest.mark.parametrize("asked", NAMES)
def test_what_a_feature_is_called(tmp_path: Path, asked: str) -> None:
    declared = f'view(account, logins, [{asked}, count("30d")], name="more", rows_max=1000)'
    assert other(project_with(tmp_path, declared)).columns == (*NAMES[asked], "more_count_30d")


NEEDS = {
    'view(account, logins, [sum_of("clicks", "24h"), max_of("free2", "1h")], name="more")': (),
    'view(account, logins, [max_of("balance", "24h"), std_of("balance", "1h")], name="more")': (),
    'view(account, logins, [max_of("amount", "24h")], name="more")': (),
    'view(account, logins, [mean_of("trusted", "24h")], name="more")': (),
    'view(account, logins, [count("1h")], name="more")': (),
    'view(both, logins, [sum_of("clicks", "1h")], name="more")': (),
    'view(account, logins, [sum_of("clicks", "1h"), same_as_last("channel"), first_seen("ip")],'
    ' name="more")': (),
    'view(account, logins, [sum_of("clicks", "1h"), share("1h", col("channel") == "web")], name="more")': (),
    'view(account, logins, [sum_of("clicks", "1h"), distinct("ip", "1h"), distinct("channel", "1h")],'
    ' name="more")': (),
    'view(account, logins, [sum_of("clicks", "1h")], where=col("clicks") > 3, name="more")': (),
    'view(account, Source("contracts/logins.yaml", name="old"), [sum_of("clicks", "1h")], name="more")': (),
}  # fmt: skip
MORE_FIELDS = """\
      - {name: free2, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 9}}
      - {name: trusted, logicalType: boolean}
"""


@pytest.mark.parametrize("declared", NEEDS)
def test_what_is_not_run_yet_is_said_and_the_rest_is_made_for_the_engine(
    tmp_path: Path, declared: str
) -> None:
    text = FEATURES.replace(
        "by_device =", f'both = Entity("account_id", "channel")\nother = {declared}\nby_device ='
    ).replace("views=[by_account", "views=[other, by_account")
    if "both," in declared:
        text = text.replace("chain=[account,", "chain=[account, both,")
    view = other(check_project(write_project(tmp_path, text, LOGINS + MORE_FIELDS)))
    assert view.needs == NEEDS[declared]
    assert (view.view is None) == bool(view.needs)


def test_a_view_of_every_kind_runs_as_it_is_declared(tmp_path: Path) -> None:
    """Nulls of the contract, the filter, decimals in their own unit: from the declaration to the values."""
    declared = (
        'view(account, logins, [count("1h"), sum_of("amount", "1h"), same_as_last("device_id"),'
        ' first_seen("device_id")], where=col("result") == "ok", name="more", rows_max=9)'
    )
    account = project_with(tmp_path, declared).engine_entities[0]
    (view,) = (view for view in account.views if view.name == "more")
    null = np.iinfo(np.int64).min
    rows = {
        "pos": np.arange(4), "account_id": np.array([b"a"] * 4), "at": np.arange(1_000, 5_000, 1_000),
        "result": np.array([b"ok", b"failed", b"ok", b"ok"]),
        "amount": np.array([150, 900, null, -25]), "device_id": np.array([b"d", b"e", b"", b"d"]),
    }  # fmt: skip
    found = EntityState(Entity(name="account", join_key="account_id", views=(view,))).apply(rows, view.rows)
    nan = np.nan
    expected = [[1.0, 1.5, nan, 1.0], [1.0, 1.5, nan, nan], [2.0, 1.5, nan, nan], [3.0, 1.25, 1.0, 0.0]]
    np.testing.assert_array_equal(found.values, np.array(expected))


CHANGES = {
    "the filter": (', where=col("clicks") > 3', ', where=col("clicks") > 4'),
    "no filter": (', where=col("clicks") > 3', ""),
    "the source": ("logins, [", 'Source("contracts/logins.yaml", name="old"), ['),
    "the measure": ('sum_of("clicks"', 'sum_of("free2"'),
    "the item": ('distinct("ip"', 'distinct("channel"'),
    "the condition": ('== "web"', '!= "web"'),
}
WHOLE = (
    'view(account, logins, [sum_of("clicks", "1h", name="a"), distinct("ip", "1h", name="b"),'
    ' share("1h", col("channel") == "web", name="c")], where=col("clicks") > 3, name="more")'
)


@pytest.mark.parametrize("changed", CHANGES)
def test_whatever_changes_a_value_changes_the_hash(tmp_path: Path, changed: str) -> None:
    hashes = []
    for number, text in enumerate((WHOLE, WHOLE.replace(*CHANGES[changed]))):
        folder = tmp_path / str(number)
        folder.mkdir()
        features = FEATURES.replace("by_device =", f"other = {text}\nby_device =").replace(
            "views=[by_account", "views=[other, by_account"
        )
        hashes.append(definitions_hash(other(check_project(
            write_project(folder, features, LOGINS + MORE_FIELDS)
        )).view))  # fmt: skip
    assert hashes[0] != hashes[1]


def test_the_scale_and_nulls_of_a_measure_are_in_the_hash_and_its_range_is_not(tmp_path: Path) -> None:
    declared = 'view(account, logins, [max_of("amount", "1h")], name="more")'
    features = FEATURES.replace("by_device =", f"other = {declared}\nby_device =").replace(
        "views=[by_account", "views=[other, by_account"
    )
    contracts = {
        "": LOGINS, "scale": LOGINS.replace("decimal(9, 2)", "decimal(9, 3)"),
        "range": LOGINS.replace("decimal(9, 2)", "decimal(8, 2)"),
        "null": LOGINS.replace("{name: amount\n", "{name: amount\n").replace(
            "name: amount\n        logicalType", "name: amount\n        required: true\n        logicalType"
        ),
    }  # fmt: skip
    hashes = {}
    for name, contract in contracts.items():
        (tmp_path / f"of_{name}").mkdir()
        project = check_project(write_project(tmp_path / f"of_{name}", features, contract))
        hashes[name] = definitions_hash(other(project).view)
    assert hashes["range"] == hashes[""]
    assert len(set(hashes.values())) == 3


def test_a_personal_field_whose_values_are_told_apart_leaves_the_gate_as_a_hash(tmp_path: Path) -> None:
    """No key needs it here; the view that counts its values sees texts, whatever the field's own type."""
    text = FEATURES.replace("chain=[account, device, ip]", "chain=[account, device]").replace(
        ", by_device, risky_ip]", ", by_device]"
    )
    text = text.replace('distinct("device_id", "24h")', 'distinct("ip", "24h")')
    project = RunningProject(check_project(write_project(tmp_path, text)))
    assert project.compiled.problems == ()
    [logins, takeovers] = project.pipeline.sources
    assert (logins.hashed, takeovers.hashed) == ({"ip"}, frozenset())
    types = dict(project.entities[0].views[0].types)
    assert types["ip"] == text_type(nullable=True)


def test_hops_that_share_no_second_are_a_problem_of_the_view(tmp_path: Path) -> None:
    declared = (
        'view(account, logins, [distinct("ip", (Window.of(minutes=1, hop_ms=1_300),)), count("1h")],'
        ' name="more")'
    )
    (problem,) = project_with(tmp_path, declared).problems
    assert (problem.code, problem.line) == ("E_WINDOW_HOP", 8)


def test_features_written_in_full_mean_what_the_short_form_means(tmp_path: Path) -> None:
    short = 'view(account, logins, [max_of("clicks", "24h"), distinct("device_id", "24h")], name="more")'
    full = (
        'view(account, logins, [Feature(name="more_clicks_max_24h", aggregation=Max(), window=day),'
        ' Feature(name="more_device_id_distinct_24h", aggregation=Distinct(), window=day)],'
        ' name="more", measure="clicks", item="device_id")'
    )
    before = "from features.aggregations import Distinct, Max\nday = Window.of(hours=24)\n"
    hashes = set()
    for number, (declared, lines) in enumerate(((short, ""), (full, before))):
        (tmp_path / str(number)).mkdir()
        view = other(project_with(tmp_path / str(number), declared, lines)).view
        assert view is not None
        hashes.add(definitions_hash(view))
    assert len(hashes) == 1


def test_windows_of_text_are_those_written_in_full() -> None:
    assert windows_of("5m 1h 24h 1d12h 30d lifetime session_30m last_10 7d_delay_1d") == (
        Window.of(minutes=5), Window.of(hours=1), Window.of(hours=24), Window.of(days=1, hours=12),
        Window.of(days=30), Window.lifetime(), Window.session(minutes=30), Window.last(10),
        Window.of(days=7).delayed(days=1),
    )  # fmt: skip
