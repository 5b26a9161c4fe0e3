"""Policies that come with the code: `default.yaml` decides where no other file is named."""

from pathlib import Path

DEFAULT = Path(__file__).parent / "default.yaml"
