"""Isolation of the command tests from the user's machine."""

import pytest


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Hide the user's folders, the network and CUDA."""
    for name in ("PROVING_GROUND_DATA", "PROVING_GROUND_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
