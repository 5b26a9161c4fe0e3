"""The logins' example in the simulation: its own files for the engine, the same in words for the oracle."""

from pathlib import Path

from features.project.running import RunningProject, running_project
from tests.projects.drawn import Drawn, ModelOf, SourceOf
from tests.projects.fields import Field
from tests.projects.run import scene_of
from tests.projects.told import Asked, ViewOf
from tests.simulation.scene import Scene

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "logins"


def _texts(name: str) -> str:
    return (FOLDER / "contracts" / f"{name}.yaml").read_text()


def _field(
    name: str, *path: str, values: tuple[str, ...] = (), required: bool = True, hashed: bool = False
) -> Field:
    return Field(name, "text", required, path=path, values=values, hashed=hashed, never_null=required)


_ACCOUNT = _field("account_id", "account", "id", values=("a1", "a2", "a3"))
_IP = ("192.0.2.1", "192.0.2.2")
_AT = Field("at", "time", True, never_null=True)
LOGINS = SourceOf("logins", "scored", (
    _field("login_id"), _AT, _ACCOUNT,
    _field("device_id", "client", "device_id", values=("d1", "d2"), required=False),
    _field("ip", "client", "ip", values=_IP, hashed=True),
    _field("channel", "client", "channel", values=("web", "app", "api")),
    _field("result", values=("ok", "failed")),
), ("login_id",), file=_texts("logins"))  # fmt: skip
RESETS = SourceOf("resets", "context", (
    _field("reset_id"), _AT, _ACCOUNT, _field("method", values=("email", "sms")),
), ("reset_id",), file=_texts("resets"))  # fmt: skip
TAKEOVERS = SourceOf("takeovers", "labels", (
    _field("login_id"), _field("ip", values=_IP, hashed=True),
    _field("outcome", values=("takeover", "legitimate")),
    _AT, Field("known_at", "time", True, never_null=True),
), ("login_id",), file=_texts("takeovers"))  # fmt: skip

VIEWS = (
    ViewOf("account_logins", "account", "logins", (
        Asked("count", "account_logins_count", "1h 24h 7d"),
        Asked("distinct", "account_logins_device_id_distinct", "24h 30d", item="device_id"),
        Asked("since_last", "account_logins_since_last_ms", "", before=True),
    )),
    ViewOf("failed", "account", "logins", (Asked("count", "failed_count", "10m 1h 24h"),),
           ("", "result == 'failed'")),
    ViewOf("account_resets", "account", "resets", (Asked("count", "account_resets_count", "24h"),)),
    ViewOf("device_logins", "device", "logins", (
        Asked("count", "device_logins_count", "1h 24h"),
        Asked("distinct", "device_logins_account_id_distinct", "24h 7d", item="account_id"),
    )),
    ViewOf("ip_logins", "ip", "logins", (
        Asked("count", "ip_logins_count", "5m 1h"),
        Asked("distinct", "ip_logins_account_id_distinct", "1h 24h", item="account_id"),
    )),
    ViewOf("ip_takeovers", "ip", "takeovers", (
        Asked("count", "ip_takeovers_count", "7d 30d"), Asked("share", "ip_takeovers_share", "7d 30d"),
    )),
)  # fmt: skip
DERIVED = (("failed_share_24h", "", "failed_count_24h / account_logins_count_24h"),)
TOLD = Drawn(
    "logins", (LOGINS, TAKEOVERS, RESETS),
    (("account", ("account_id",)), ("device", ("device_id",)), ("ip", ("ip",))), VIEWS,
    ModelOf(("channel", "hour_of_day"), [view.name for view in VIEWS], DERIVED), "takeovers",
    (
        ("guessing", "challenge", "failed_count_10m >= 8"),
        ("stuffing", "deny", "ip_logins_account_id_distinct_1h >= 20"),
        ("new_password_elsewhere", "challenge",
         "account_resets_count_24h > 0 and account_logins_device_id_distinct_30d >= 4 and channel == 'web'"),
    ),
    challenge=0.4, positive="outcome == 'takeover'",
)  # fmt: skip
"""What examples/logins/features.py and policy.yaml declare, written down a second time for the oracle."""


def logins(folder: Path = FOLDER) -> Scene:
    """Return the example's scene."""
    project: RunningProject = running_project(folder)
    return scene_of(TOLD, project)
