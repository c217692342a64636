"""Fixtures for tests of the Python interface: a tiny dataset, and globals that are restored."""

import pytest

import bench
from bench.interface import defaults


@pytest.fixture
def outputs(tmp_path, monkeypatch, write_category):
    """Globals for small, silent trainings on one small category; returns the output folder."""
    write_category(tmp_path / "data" / "tiny" / "tile")
    monkeypatch.setattr(defaults, "_current", defaults.Globals())
    bench.set_globals(
        dataset_dir=tmp_path / "data",
        output_dir=tmp_path / "outputs",
        cache_dir=tmp_path / "cache",
        profile="smoke",
        device="cpu",
        precision="float32",
        measurements=False,
        panels=False,
        verbose=False,
    )
    yield tmp_path / "outputs"
    bench.clear_memory()
