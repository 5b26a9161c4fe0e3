"""From features to decisions: models, training, scoring, rules, reasons, drift."""
