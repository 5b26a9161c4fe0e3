"""Named seeded workloads, the open-loop producer, benchmarks and the peers they are run beside."""
