"""Golden values of a fixed payments workload: docs/goldens.md says what they hold and what may change."""
