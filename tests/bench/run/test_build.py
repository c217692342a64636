"""Building the model of a job."""

from dataclasses import replace

import pytest
import torch
from case_names import case_named

from bench.run.build import build_model
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.catalog.entry import IMAGENET_MEAN, IMAGENET_STD
from models.components import winograd
from models.components.winograd import WinogradConv2d


@pytest.fixture
def job_of(tmp_path, write_category):
    """Return a function that makes the job of a model on random weights."""
    write_category(tmp_path / "data" / "tiny" / "tile")

    def make(model):
        folders = (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"
        settings = Settings("smoke", "cpu", *folders, image_size=64)
        finder = Finder(settings, find_datasets(settings.data_dirs))
        return finder.job(case_named(f"{model}-tiny.tile-default-scratch-s0"))

    return make


@pytest.mark.parametrize("model", ["padim_resnet18", "csflow"])
def test_unnormalized_images_reach_every_backbone(job_of, model):
    job = job_of(model)
    protocol = replace(job.protocol, normalize=False)
    backbone = build_model(replace(job, protocol=protocol)).backbone
    images = torch.rand(1, 3, 64, 64)
    expected = build_model(job).backbone
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    for own, wanted in zip(backbone(images), expected(images * std + mean), strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-3, atol=1e-3)
    assert backbone.digests() != expected.digests()


@pytest.mark.parametrize(("capability", "faster"), [("AVX2", True), ("AVX512", False)])
def test_wide_convolutions_are_computed_in_the_machines_faster_way(
    capability, faster, job_of, monkeypatch
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(winograd, "is_intel", lambda: False)
    model = build_model(job_of("supersimplenet_resnet18"))
    wide = [layer for layer in model.modules() if isinstance(layer, WinogradConv2d)]
    assert any(layer.kernel_size == (5, 5) for layer in wide) is faster
    assert bool(wide) is faster
