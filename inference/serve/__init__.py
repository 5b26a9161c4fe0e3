"""The HTTP door: decisions and features for callers who cannot wait for the stream."""
