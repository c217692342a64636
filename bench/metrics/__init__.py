"""Exact metrics on raw scores; a metric without a value says why.

`bench.metrics.catalog` registers them, `bench.metrics.evaluation` computes them.
"""
