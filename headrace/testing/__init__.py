"""Rows in, values out: what a project's own tests are made of, with no server.

`headrace test` reads `tests/*.yaml` of a project; a Python test in the same folder says

    from headrace.testing import deliver

    def test_a_second_login_counts_two():
        one = {"account_id": "a1", "ip": "203.0.113.7", "channel": "web", "result": "ok"}
        first, second = deliver(
            ("logins", {"login_id": "l1", "at": "2025-03-01T10:00:00Z", **one}),
            ("logins", {"login_id": "l2", "at": "2025-03-01T10:05:00Z", **one}),
        )
        assert second["account_logins_count_1h"] == 2

The records go through the service's own code: contract reading, the stages in the chain's order, derived
features, policy.
"""

from headrace.testing.delivery import Delivered, deliver

__all__ = ["Delivered", "deliver"]
