"""The entry point by which pytest finds the harness, installed with pip, from any folder."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load the plugin once all other plugins have declared their options.

    Loaded earlier, an option of ours would be an error of whoever has one of the same name.
    """
    early_config.pluginmanager.import_plugin("bench.plugin")
