"""The writer of the online store: rows compared and set by position, and a breaker around Redis."""
