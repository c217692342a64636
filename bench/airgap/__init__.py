"""Bundles that take a study to a machine without a network."""
