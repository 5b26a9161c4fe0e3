"""Decisions of the lake looked at again: told, computed again, tried under another policy."""
