"""Account take-over: which logins are not the owner's, by what account, device and address did before."""

from headrace import Entity, Model, Project, Source, col, count, distinct, ratio, share, since_last, view

logins = Source("contracts/logins.yaml")
resets = Source("contracts/resets.yaml")
takeovers = Source(
    "contracts/takeovers.yaml", labels=logins, positive=col("outcome") == "takeover", maturity="14d",
    negative_after="30d",
)  # fmt: skip

account, device, ip = Entity("account_id"), Entity("device_id"), Entity("ip")

by_account = view(account, logins, [count("1h 24h 7d"), distinct("device_id", "24h 30d"), since_last()])
failures = view(account, logins, [count("10m 1h 24h")], where=col("result") == "failed", name="failed")
recent = view(account, resets, [count("24h")])
by_device = view(device, logins, [count("1h 24h"), distinct("account_id", "24h 7d")])
by_ip = view(ip, logins, [count("5m 1h"), distinct("account_id", "1h 24h")])
risky_ip = view(ip, takeovers, [count("7d 30d"), share("7d 30d")])

takeover = Model(
    "takeover",
    event=["channel", "hour_of_day"],
    views=[by_account, failures, recent, by_device, by_ip, risky_ip],
    derived={"failed_share_24h": ratio(col("failed_count_24h"), col("account_logins_count_24h"))},
    label=takeovers,
)
project = Project("logins", scored=logins, chain=[account, device, ip], models=[takeover])
