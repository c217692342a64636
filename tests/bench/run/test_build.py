"""Building the model of a job."""

import pytest
import torch
from case_names import case_named

from bench.run.build import build_model
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.components import winograd
from models.components.winograd import WinogradConv2d


@pytest.mark.parametrize(("capability", "faster"), [("AVX2", True), ("AVX512", False)])
def test_wide_convolutions_are_computed_in_the_machines_faster_way(
    capability, faster, tmp_path, write_category, monkeypatch
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(winograd, "is_intel", lambda: False)
    write_category(tmp_path / "data" / "tiny" / "tile")
    folders = (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"
    settings = Settings("smoke", "cpu", *folders, image_size=64)
    finder = Finder(settings, find_datasets(settings.data_dirs))
    job = finder.job(case_named("supersimplenet_resnet18-tiny.tile-default-scratch-s0"))
    model = build_model(job)
    wide = [layer for layer in model.modules() if isinstance(layer, WinogradConv2d)]
    assert any(layer.kernel_size == (5, 5) for layer in wide) is faster
    assert bool(wide) is faster
