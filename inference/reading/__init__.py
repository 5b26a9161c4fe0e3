"""What an event is judged by: feature values from the log or from Redis, now or as of a moment."""
