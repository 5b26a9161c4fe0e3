"""A deterministic simulation of gate, stages and scorer: the real code, an in-memory Kafka and store, a seed."""
