"""Errors of exports."""


class ExportError(Exception):
    """A model cannot be exported, or its export differs; the message says why."""
