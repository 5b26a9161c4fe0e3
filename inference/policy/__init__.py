"""The decision policy: rules, gatekeeper, thresholds, people and reasons, out of a declared file.

The project's own `policy.yaml` decides where no other file is named; without one each model's thresholds do.
"""
