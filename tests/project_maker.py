"""A small project in a folder, right in every part, for tests that then make one part wrong."""

from pathlib import Path

LOGINS = """\
apiVersion: v3.1.0
kind: DataContract
id: logins
version: "1.0.0"
schema:
  - name: Login
    physicalName: logins
    properties:
      - {name: login_id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: account_id, logicalType: string, required: true}
      - {name: device_id, logicalType: string}
      - {name: ip, logicalType: string, classification: personal}
      - {name: result, logicalType: string, required: true, enum: [{value: ok}, {value: failed}]}
      - {name: channel, logicalType: string, required: true, enum: [{value: web}, {value: app}]}
      - name: amount
        logicalType: number
        physicalType: decimal(9, 2)
        customProperties: [{property: currencyField, value: currency}]
      - {name: currency, logicalType: string}
      - {name: speed, logicalType: number}
      - {name: clicks, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: balance, logicalType: integer, logicalTypeOptions: {minimum: -500, maximum: 500}}
      - {name: free, logicalType: integer}
"""
TAKEOVERS = """\
apiVersion: v3.1.0
kind: DataContract
id: takeovers
version: "1.0.0"
customProperties:
  - {property: knownAt, value: known_at}
schema:
  - name: Takeover
    physicalName: takeovers
    properties:
      - {name: login_id, logicalType: string, required: true, primaryKey: true}
      - {name: ip, logicalType: string, classification: personal}
      - {name: outcome, logicalType: string, required: true, enum: [{value: takeover}, {value: fine}]}
      - {name: known_at, logicalType: timestamp, required: true}
"""
FEATURES = """\
from headrace import *

logins = Source("contracts/logins.yaml")
takeovers = Source("contracts/takeovers.yaml", labels=logins, positive=col("outcome") == "takeover")
account, device, ip = Entity("account_id"), Entity("device_id"), Entity("ip")
by_account = view(account, logins, [count("1h 24h"), distinct("device_id", "24h"), since_last()])
failures = view(account, logins, [count("1h 24h")], where=col("result") == "failed", name="failed")
by_device = view(device, logins, [count("1h")])
risky_ip = view(ip, takeovers, [count("7d"), share("7d")])
model = Model(
    "takeover", event=["channel", "hour_of_day"], views=[by_account, failures, by_device, risky_ip],
    derived={"failed_share": ratio(col("failed_count_24h"), col("account_logins_count_24h"))},
    label=takeovers)
project = Project("logins", scored=logins, chain=[account, device, ip], models=[model], money="amount")
"""
POLICY = """\
name: night
version: "1"
decisions:
  - {name: allow}
  - {name: challenge, queue: true}
  - {name: deny, stops: true}
thresholds: {challenge: 0.5, deny: 0.9}
fallback: challenge
rules:
  many_failures:
    when: failed_count_1h >= failures and channel == 'web'
    figures: {failures: 5}
    severity: challenge
    feature: failed_count_1h
    reason: Many failed logins within an hour.
"""


def write_project(
    folder: Path,
    features: str = FEATURES,
    logins: str = LOGINS,
    takeovers: str = TAKEOVERS,
    policy: str = POLICY,
) -> Path:
    """Write a project's files; return its folder."""
    (folder / "contracts").mkdir(parents=True)
    (folder / "features.py").write_text(features)
    (folder / "contracts" / "logins.yaml").write_text(logins)
    (folder / "contracts" / "takeovers.yaml").write_text(takeovers)
    (folder / "policy.yaml").write_text(policy)
    return folder
