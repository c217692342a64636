"""Tests of models run on one thread, because two that wait for each other crawl, and are seeded."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seeded():
    """Draw the same numbers in every run; a bound that holds by luck fails by luck."""
    torch.manual_seed(0)
