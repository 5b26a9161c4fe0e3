"""One address that tries many accounts: a test in Python, where a table would be long."""

from headrace.testing import deliver


def test_the_twentieth_account_of_an_address_is_denied() -> None:
    tried = [
        (
            "logins",
            {
                "login_id": f"l{number}", "at": f"2025-03-01T10:{number:02}:00Z", "account_id": f"a{number}",
                "ip": "192.0.2.7", "channel": "api", "result": "failed",
            },
        )
        for number in range(20)
    ]  # fmt: skip
    *_, before, last = deliver(*tried)
    assert before["ip_logins_account_id_distinct_1h"] == 19
    assert (before.rules, before.decision) == ((), "allow")
    assert last["ip_logins_account_id_distinct_1h"] == 20
    assert (last.rules, last.decision) == (("stuffing",), "deny")
