"""The review queue: cases opened for people, and their verdicts."""
