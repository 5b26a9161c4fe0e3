"""Real Kafka and real Redis on a machine that has neither, with ports and folders of their own."""

from headrace.servers.local import LocalServers, Servers, Status, ephemeral

__all__ = ["LocalServers", "Servers", "Status", "ephemeral"]
