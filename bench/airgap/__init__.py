"""Carrying a study to a machine without a network: bundles, and unpacking them there."""
