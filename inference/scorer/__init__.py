"""The scorer: feature rows to one committed prediction each, in Kafka's transactions."""
