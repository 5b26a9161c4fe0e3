"""A deterministic simulation: the real gate, stages and scorer on a Kafka and a store in memory."""
