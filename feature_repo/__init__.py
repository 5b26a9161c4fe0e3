"""What Feast reads: entities, views and services made from `features/`, and the stores they live in.

`feast apply`, `feast materialize` and `feast materialize-incremental` work in this folder without any
setting, on the run that `.headrace/current` names; `HEADRACE_RUN` names another.
"""
