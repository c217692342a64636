"""Replayed CUDA graphs give what would have been computed without them."""

import copy

import pytest
import torch
from torch import nn

from bench.protocol import PROFILES, resolve
from bench.run.labeled_split import LabeledSplit
from bench.run.training.classifier_objective import ClassifierObjective
from bench.run.training.cuda_graphs import capture_gradient, prefetch
from bench.run.training.loop import fit
from datasets_lib.batches.streaming import ResidentBatches
from models.catalog import MODELS
from models.timm_classifier import build

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

CLASSES = 10


@pytest.fixture
def cuda():
    return torch.device("cuda")


@pytest.fixture
def train(cuda):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (600, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, (600,), generator=generator)
    return LabeledSplit(
        ResidentBatches(images.permute(0, 3, 1, 2).to(cuda)),
        labels.to(cuda),
        tuple(map(str, range(CLASSES))),
        tuple(map(str, range(600))),
    )


def classifier(name, cuda):
    torch.manual_seed(0)
    entry = MODELS[name]
    return build(
        weights=entry.weights, state=None, classes=CLASSES, image_size=32, **entry.options
    ).to(cuda)


def protocol(name, recipe="flip_crop", augmentation="mixup", precision="float32", images=1_536):
    return resolve(
        MODELS[name],
        recipe,
        PROFILES["standard"],
        augmentation=augmentation,
        precision=precision,
        native_size=32,
        images_seen=images,
    )


class Noisy(nn.Module):
    """With running statistics and dropout, so that state and random numbers matter."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )
        self.head = nn.Linear(8 * 6 * 6, CLASSES)

    def gradient(self, images, targets):
        loss = nn.functional.cross_entropy(self.head(self.layers(images)), targets)
        loss.backward()
        return loss.detach()


def steps(gradient, network, batches):
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    losses = []
    for images, targets in batches:
        optimizer.zero_grad(set_to_none=True)
        losses.append(gradient(images, targets))
        optimizer.step()
    return torch.stack(losses)


@pytest.fixture
def batches(cuda):
    generator = torch.Generator(cuda).manual_seed(0)
    return [
        (
            torch.randn(16, 3, 8, 8, device=cuda, generator=generator),
            torch.randint(0, CLASSES, (16,), device=cuda, generator=generator),
        )
        for _ in range(6)
    ]


def test_a_replayed_gradient_trains_as_the_one_written(cuda, batches):
    written = Noisy().to(cuda)
    written.layers[3].p = 0.0
    replayed = copy.deepcopy(written)
    gradient = capture_gradient(replayed.gradient, replayed, *batches[0])
    torch.testing.assert_close(
        steps(gradient, replayed, batches),
        steps(written.gradient, written, batches),
        rtol=1e-3,
        atol=1e-4,
    )
    torch.testing.assert_close(replayed.state_dict(), written.state_dict(), rtol=1e-3, atol=1e-4)


def test_recording_leaves_no_trace_and_every_replay_draws_anew(cuda, batches):
    network = Noisy().to(cuda)
    before, random = copy.deepcopy(network.state_dict()), torch.cuda.get_rng_state()
    gradient = capture_gradient(network.gradient, network, *batches[0])
    assert torch.equal(torch.cuda.get_rng_state(), random)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    first, second = gradient(*batches[0]), gradient(*batches[0])
    assert first != second  # dropout; and the first is still there after the second


def test_a_recording_that_fails_leaves_the_stream_as_it_was(cuda, batches):
    network = Noisy().to(cuda)
    before = torch.cuda.current_stream(cuda)

    def waiting(images, targets):
        loss = network.gradient(images, targets)
        loss.item()  # waits for the device, which cannot be recorded
        return loss

    with pytest.raises(RuntimeError):
        capture_gradient(waiting, network, *batches[0])
    assert torch.cuda.current_stream(cuda) == before
    torch.rand(1, device=cuda)  # the generator is not left in capture

    def prepare(index, step):
        return index + int(step), index

    with pytest.raises(RuntimeError):
        next(prefetch(prepare, torch.arange(8, device=cuda), 4, 0))
    assert torch.cuda.current_stream(cuda) == before
    torch.rand(1, device=cuda)


@pytest.mark.parametrize("recipe", ["baseline", "flip_crop", "modern"])
@pytest.mark.parametrize("augmentation", ["default", "mixup", "cutmix"])
def test_batches_made_ahead_are_those_made_in_time(caplog, cuda, train, recipe, augmentation):
    plan = protocol("resnet18", recipe, augmentation)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(1)).repeat(2)

    def batches(compiling):
        objective = ClassifierObjective(
            classifier("resnet18", cuda), train, plan, seed=5, device=cuda, compiling=compiling
        )
        # Busy work between batches: nothing may be overwritten before it is read.
        for images, targets in objective.batches(order, 64, 3):
            torch.randn(2_000, 2_000, device=cuda) @ torch.randn(2_000, 2_000, device=cuda)
            yield images.clone(), targets.clone()

    made = list(zip(batches("auto"), batches("no"), strict=True))
    assert len(made) == 16
    assert not caplog.records  # it was recorded
    for ahead, in_time in made:
        assert torch.equal(ahead[0], in_time[0])
        assert torch.equal(ahead[1], in_time[1])
        assert ahead[0].is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_made_of_an_empty_order(cuda):
    assert not list(prefetch(lambda *_: 1 / 0, torch.empty(0, device=cuda).long(), 4, 0))


@pytest.mark.parametrize("name", ["resnet18", "deit_tiny_patch16_224"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_replayed_training_is_the_one_as_written(tmp_path, cuda, train, name, precision):
    plan = protocol(name, precision=precision)
    losses, models = {}, {}
    for compiling in ("auto", "no"):
        models[compiling] = classifier(name, cuda)
        objective = ClassifierObjective(
            models[compiling], train, plan, seed=5, device=cuda, compiling=compiling
        )
        trained = fit(
            models[compiling],
            objective,
            plan,
            seed=5,
            device=cuda,
            report=lambda *_: None,
            checkpoint=tmp_path / compiling / "training.pth",
        )
        losses[compiling] = torch.tensor(trained.losses)
        assert objective.network.execution_mode == (
            "replayed" if compiling == "auto" else "as written"
        )
    near = 0.02 if precision == "float32" else 0.05
    torch.testing.assert_close(losses["auto"], losses["no"], rtol=near, atol=near)
    assert len(losses["auto"]) == 6
