"""Which detector finds what, how soon, and how often it cries without cause: streams with known changes."""
