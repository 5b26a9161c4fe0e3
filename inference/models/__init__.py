"""A model as a file: its text and manifest, the trial before it is loaded, how it scores."""
