"""The harness: how cases are described, run, measured, stored and reported.

PYTEST_DONT_REWRITE: the assertions of an installed plugin's packages would be rewritten.
"""
