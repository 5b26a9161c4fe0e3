"""From labelled payments to a version with its report; the same inputs give the same bytes."""
