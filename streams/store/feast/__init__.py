"""Feast on our stores: what a project declares as Feast's objects, and the stores they live in.

The one room that knows Feast (with `inference.offline.lake.profile_history`). Feast finds it by the names of
`headrace.feast`, which a project's `feature_store.yaml` writes down.
"""
