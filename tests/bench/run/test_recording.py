"""A recording of CUDA graphs begins only where it can succeed; the device is a stand-in."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from bench.protocol import PROFILES, resolve
from bench.run.labeled_split import LabeledSplit
from bench.run.training import classifier_objective, cuda_graphs
from bench.run.training.classifier_objective import ClassifierObjective
from bench.run.training.cuda_graphs import capture_gradient, prefetch
from datasets_lib.augment import catalog
from datasets_lib.augment.catalog import AugmentationEntry
from datasets_lib.batches.streaming import ResidentBatches
from models.catalog import MODELS
from models.components.base import Classifier


class Stream:
    """Notes which streams it waits for."""

    def __init__(self):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)


class Cuda:
    """Notes in which mode of torch's each call runs: ``recording`` within a recording."""

    def __init__(self):
        self.mode, self.calls, self.error_modes = 1, [], []
        self.main, self.side = Stream(), Stream()

    def note(self):
        self.calls.append(self.mode)
        if self.mode == "error":
            self.waits()

    def waits(self):
        """Do nothing; a test may raise instead."""

    def set_sync_debug_mode(self, mode):
        self.mode = mode

    @contextmanager
    def graph(self, graph, stream, capture_error_mode="global"):
        self.error_modes.append(capture_error_mode)
        before, self.mode = self.mode, "recording"
        yield
        self.mode = before


@pytest.fixture
def cuda(monkeypatch):
    fake = Cuda()
    for name, value in {
        "get_sync_debug_mode": lambda: fake.mode,
        "set_sync_debug_mode": fake.set_sync_debug_mode,
        "graph": fake.graph,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
        "stream": lambda _: nullcontext(),
        "current_stream": lambda _: fake.main,
        "set_stream": lambda _: None,
        "get_rng_state": lambda _: None,
        "set_rng_state": lambda *_: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(cuda_graphs, "_stream", lambda *_: fake.side)
    return fake


def record_gradient(cuda):
    network = nn.Linear(2, 1)

    def gradient(images, targets):
        cuda.note()
        loss = network(images).sum()
        loss.backward()
        return loss.detach()

    capture_gradient(gradient, network, torch.ones(3, 2), torch.ones(3))


def record_batches(cuda):
    def prepare(index, step):
        cuda.note()
        return index, step

    assert len(list(prefetch(prepare, torch.arange(6), 3, 0))) == 2


@pytest.mark.parametrize(("record", "warm_up"), [(record_gradient, [1, 1]), (record_batches, [1])])
def test_the_last_call_before_a_recording_must_not_wait(cuda, record, warm_up):
    record(cuda)
    assert cuda.calls == [*warm_up, "error", "recording"]
    assert cuda.mode == 1


@pytest.mark.parametrize("record", [record_gradient, record_batches])
def test_what_waits_for_the_device_is_not_recorded(cuda, record):
    def waits():
        raise RuntimeError("called a synchronizing CUDA operation")

    cuda.waits = waits
    with pytest.raises(RuntimeError, match="synchronizing"):
        record(cuda)
    assert cuda.calls[-1] == "error"
    assert cuda.mode == 1


@pytest.mark.parametrize("record", [record_gradient, record_batches])
def test_threads_that_read_may_allocate_while_a_graph_is_recorded(cuda, record):
    record(cuda)
    assert cuda.error_modes == ["thread_local"]


def test_batches_that_nobody_takes_are_prepared_before_their_memory_is_reused(cuda):
    batches = prefetch(lambda index, step: (index, step), torch.arange(9), 3, 0)
    next(batches)
    cuda.main.waited.clear()
    batches.close()
    assert cuda.main.waited == [cuda.side]


def test_a_transform_of_torchvisions_is_not_recorded(monkeypatch):
    blur = AugmentationEntry("blur", "blur", lambda: v2.GaussianBlur(3), ("classification",))
    monkeypatch.setitem(catalog._AUGMENTATIONS, "blur", blur)
    monkeypatch.setattr(classifier_objective, "prefetch", lambda *_: pytest.fail("recorded"))
    plan = resolve(
        MODELS["resnet18"],
        "baseline",
        PROFILES["standard"],
        augmentation="blur",
        native_size=32,
        images_seen=8,
    )
    images = torch.rand(8, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    names = tuple("abcdefgh")
    train = LabeledSplit(ResidentBatches(images), torch.arange(8), names, names)
    objective = ClassifierObjective(
        Classifier(), train, plan, seed=5, device=torch.device("cuda"), compiling="auto"
    )
    ((blurred, labels),) = objective.batches(torch.arange(8), 8, 0)
    assert not torch.equal(blurred, images)
    assert torch.equal(labels, torch.arange(8))
