"""The gate: what producers publish, judged by its contract; frames and dead letters out."""
