"""The former names of what is in `contract_version`: for rooms that are being rewritten."""

from contracts.contract_version import ContractField, ContractVersion, Limits, in_force

__all__ = ["Field", "Limits", "Terms", "in_force", "is_number"]
Field, Terms = ContractField, ContractVersion


def is_number(field: ContractField) -> bool:
    """Return whether a field's column is of 64-bit integers; the others are of text."""
    return field.column == "int64"
