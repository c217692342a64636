"""What is benchmarked: one file per model, one catalog of every named configuration.

PYTEST_DONT_REWRITE: without it, pytest rewrites the assertions of an installed plugin's packages.
"""
