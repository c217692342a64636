"""Load the pytest plugin of the harness."""

pytest_plugins = ["bench.plugin"]
