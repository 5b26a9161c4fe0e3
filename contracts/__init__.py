"""What crosses a process boundary: event types, topics, record batches, lanes and errors."""
