"""Tests of models are seeded and use one thread, as threads that wait for each other are slow."""

import copy

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


@pytest.fixture
def model(pristine):
    """A model that the test may change; its file says which."""
    return copy.deepcopy(pristine)


@pytest.fixture
def images():
    """Three images of noise at 64 pixels."""
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(8))
