"""The table of topics on a real cluster."""

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from headrace import topics_admin
from runtime.run import Run
from tests.waiting import until

pytestmark = pytest.mark.integration


def test_a_fresh_run_has_exactly_the_topics_of_the_table(run: Run, kafka: KafkaConnection) -> None:
    assert topics_admin.differences(kafka, run.topic_prefix) == []
    assert topics_admin.ensure(kafka, run.topic_prefix) == []


def test_every_difference_is_named(kafka: KafkaConnection) -> None:
    admin = AdminClient(kafka.librdkafka())  # type: ignore[arg-type]
    wrong = NewTopic("differs.transactions", num_partitions=2, replication_factor=1)
    admin.create_topics([wrong])["differs.transactions"].result(10)
    until(
        lambda: "differs.transactions" in admin.list_topics(timeout=5).topics, timeout_s=10, what="the topic"
    )
    with pytest.raises(ClusterError) as caught:
        topics_admin.check(kafka, "differs.")
    assert "differs.transactions has 2 partitions, not 4" in caught.value.what
    assert (
        "differs.transactions has message.timestamp.type=CreateTime, not LogAppendTime" in caught.value.what
    )
    assert "differs.labels is missing" in caught.value.what
    assert topics_admin.delete(kafka, "differs.") == ["differs.transactions"]


def test_the_main_run_is_never_deleted(kafka: KafkaConnection) -> None:
    with pytest.raises(ValueError, match="main"):
        topics_admin.delete(kafka, "")
