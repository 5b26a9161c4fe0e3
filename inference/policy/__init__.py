"""The decision policy: rules, gatekeeper, thresholds, people and reasons, out of a declared file.

`default.yaml` comes with the code and decides where no other file is named.
"""

from pathlib import Path

DEFAULT = Path(__file__).parent / "default.yaml"
