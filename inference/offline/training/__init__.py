"""From labelled events to a version with its report; the same inputs give the same bytes."""
