"""The entry point by which pytest finds the harness, installed with pip, from any folder."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load the plugin once all other plugins have declared their options.

    If it loaded earlier, another plugin with an option of the same name would fail.
    """
    early_config.pluginmanager.import_plugin("bench.plugin")
