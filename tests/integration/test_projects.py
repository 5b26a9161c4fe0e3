"""Two projects on one Kafka and in one database of one Redis: what strikes one does not reach the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.team import Team
from tests.real_servers import RealServers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"payments": ROOT / "feature_repo", "logins": ROOT / "examples" / "logins"}
DATABASE = 511  # that no other test is given
RATE = 40.0


class Untouched(NamedTuple):
    """What of a project must be the same while another is struck."""

    pids: dict[str, int]
    restarts: dict[str, int]
    letters: int


@pytest.fixture(scope="module")
def teams(servers: RealServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Team]]:
    folder = tmp_path_factory.mktemp("teams")
    teams = {name: Team(at, folder / name, servers, DATABASE) for name, at in FOLDERS.items()}
    try:
        for team in teams.values():
            team.begin_up()
        for team in teams.values():
            team.await_up()
        yield teams
    finally:
        for team in teams.values():
            team.close()


def of(team: Team) -> Untouched:
    return Untouched(team.pids(), team.restarts(), team.letters)


BOTH_WAYS = [("payments", "logins"), pytest.param("logins", "payments", marks=pytest.mark.long)]


@pytest.mark.parametrize(("struck", "other"), BOTH_WAYS)
def test_what_strikes_a_project_does_not_reach_the_other(
    teams: dict[str, Team], struck: str, other: str
) -> None:
    """Both get records meanwhile; then the oracle finds each of them whole, the struck one too."""
    victim, bystander = teams[struck], teams[other]
    before = of(bystander)
    for team in teams.values():
        team.send(RATE)
    victim.kill_workers()
    victim.send_nonsense()
    rows = bystander.rows().keys()
    victim.delete_rows()
    assert rows <= bystander.rows().keys()
    victim.stop_and_lose_input()
    for team in teams.values():
        team.end_sending()
        team.await_rest()
    assert of(bystander) == before
    for name, team in teams.items():
        verdict = team.verdict()
        assert verdict.clean, (name, verdict.counts, verdict.examples)
        assert verdict.looked_at["predictions"] > 300
        assert verdict.looked_at["store_rows"] > 100
