"""The dry pass before a fit: it runs once, and changes nothing."""

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.case import Case
from bench.run.anomaly import AnomalyTask
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.training import warm_up as module
from bench.run.training.warm_up import warm_up
from bench.settings import Settings
from datasets_lib.discover import find_datasets

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cold(monkeypatch):
    monkeypatch.setattr(module, "_done", set())


def random_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Linear(2, 2)
        self.norm = torch.nn.BatchNorm1d(2)


def test_a_dry_pass_works_on_a_copy_and_leaves_random_numbers_alone():
    model, twins = Small(), []
    before, state = copy.deepcopy(model.state_dict()), random_states()

    def run(twin):
        twins.append(twin)
        twin.train()
        twin.norm(torch.randn(4, 2)).sum().backward()
        twin.note = random.random() + np.random.rand()  # noqa: NPY002

    warm_up(model, "key", [run], CPU)
    (twin,) = twins
    assert twin.backbone is model.backbone
    assert twin.norm.num_batches_tracked == 1
    assert model.norm.weight.grad is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert random_states() == state


def test_it_runs_once_a_key_and_what_it_raises_is_left_to_the_measured_pass():
    calls = []

    def run(twin):
        calls.append(twin)
        raise ValueError("too few images")

    for key in ("a", "a", "b"):
        warm_up(Small(), key, [run, run], CPU)
    assert len(calls) == 4


@pytest.fixture
def fit_small(tmp_path, write_category):
    """Fit a model from scratch to a few small images."""
    write_category(tmp_path / "data" / "tiny" / "tile")
    settings = Settings(
        "smoke", "cpu", (tmp_path / "data",), (), tmp_path, tmp_path / "cache", image_size=64
    )
    finder, device_data = Finder(settings, find_datasets(settings.data_dirs)), DeviceData()

    def fit(name):
        job = finder.job(Case(name, "baseline", "tiny", "tile", "default", False, 0))
        job = replace(job, protocol=replace(job.protocol, images_seen=24))
        task = AnomalyTask(job, CPU, device_data, lambda *_: None)
        task.load()
        model = task.build()
        task.prepare(model)
        return model, task.train(model), task

    return fit


def checkpoint_of(name, fit):
    model, trained, task = fit(name)
    task.job.checkpoint.unlink(missing_ok=True)
    return model.checkpoint(), trained.losses, torch.get_rng_state()


# One that gathers, one trained by gradient, two that do both, of which one calibrates.
@pytest.mark.parametrize(
    "name",
    [
        "stfpm_resnet18",
        pytest.param("patchcore_resnet18", marks=pytest.mark.slow),
        pytest.param("cfa_resnet18", marks=pytest.mark.slow),
        pytest.param("efficientad_small", marks=pytest.mark.slow),
        pytest.param("rd_resnet18", marks=pytest.mark.slow),
        pytest.param("dfkde_resnet18", marks=pytest.mark.slow),
    ],
)
def test_a_fit_is_bit_equal_with_and_without(name, fit_small, monkeypatch):
    ran = []

    def counted(model, key, passes, device):
        def note(run):
            def noted(twin):
                run(twin)
                ran.append(key)

            return noted

        warm_up(model, key, [note(run) for run in passes], device)

    monkeypatch.setattr("bench.run.training.train.warm_up", counted)
    warm = checkpoint_of(name, fit_small)
    assert ran  # it ran to the end
    monkeypatch.setattr("bench.run.training.train.warm_up", lambda *_: None)
    cold = checkpoint_of(name, fit_small)
    assert warm[0].keys() == cold[0].keys()
    torch.testing.assert_close(warm[0], cold[0], rtol=0, atol=0)
    assert warm[1] == cold[1]
    assert torch.equal(warm[2], cold[2])
