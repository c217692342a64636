"""Verify datasets on disk: what is missing, damaged or leaked."""
