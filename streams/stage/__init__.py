"""A stage: one entity's windows on each partition, its changelog and its outputs, on stock Faust."""
