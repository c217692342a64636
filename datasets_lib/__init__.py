"""What models are benchmarked on: one file per dataset, one catalog, one decode cache.

PYTEST_DONT_REWRITE: without it, pytest rewrites the assertions of an installed plugin's packages.
"""
