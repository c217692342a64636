"""Loads the glue between pytest and the harness."""

pytest_plugins = ["bench.plugin", "pytester"]
