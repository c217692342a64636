"""Which of a run's samples are kept."""

import time
from itertools import pairwise

import pytest
import torch

from bench.protocol import PROFILES, resolve
from bench.run.measure.profile import ProfileTarget, _OptimizerStep, measure, thinned
from bench.run.training.loop import TrainingResult
from models.catalog import MODELS
from models.components.base import AnomalyModel


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (999, 999), (1_000, 1_000)])
def test_few_samples_all_stay(count, kept):
    assert thinned([0.1] * count) == [0.1] * kept


def test_many_are_thinned_evenly_from_the_first_to_the_last():
    samples = [float(i) for i in range(9_765)]
    kept = thinned(samples)
    assert len(kept) == 977
    assert {b - a for a, b in pairwise(kept)} == {10.0}
    assert (kept[0], kept[-1]) == (0.0, 9_760.0)


class Slow(AnomalyModel):
    """Sleeps, in training as in prediction."""

    def __init__(self, seconds):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.seconds = seconds

    def loss(self, images):
        time.sleep(self.seconds)
        return (self.weight @ images.sum((2, 3)).T).square().mean()


def measured(model, limit_s, parts=None):
    protocol = resolve(MODELS["stfpm_resnet18"], "baseline", PROFILES["standard"])
    target = ProfileTarget(
        model,
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
        lambda images: time.sleep(model.seconds * len(images) / protocol.evaluation_batch),
        Slow.loss,
        frozen_seconds=0.5,
    )
    trained = TrainingResult(steps=3, images_seen=6, step_seconds=[model.seconds] * 3)
    report = ([] if parts is None else parts).append
    return measure(
        target, protocol, trained, torch.device("cpu"), limit_s, lambda *part: report(part)
    )


def test_speeds_and_what_they_charge():
    parts = []
    found = measured(Slow(0.01), 5.0, parts)
    assert found.reasons == found.notes == {}
    assert found.values["train_images_per_s"] == pytest.approx(2 / (0.01 + 2 * 0.5))
    assert found.charges == {"train_images_per_s": {"optimizer step": 0.01, "frozen backbone": 1.0}}
    assert found.values["train_flops"] == 2 * (2 * 3 * 2) / 2  # forward, gradient
    assert found.values["model_bytes"] == 12
    assert [part[1]["step"] for part in parts] == [1, 2, 3, 4]


def test_measuring_a_slow_model_ends_in_time_and_says_what_is_missing():
    model = Slow(1.0)
    begin = time.monotonic()
    found = measured(model, 1.5)
    assert time.monotonic() - begin < 5
    assert found.values["train_flops"] is None
    assert found.values["inference_images_per_s"] is None
    assert found.values["inference_flops"] == 0
    assert found.notes == {
        "inference_rise_host_bytes": "of a first or second call: up to a fifth off"
    }
    for wanted in ("--measure-seconds", "--rerun"):  # a finished case is not measured again
        assert all(wanted in reason for reason in found.reasons.values())
    assert found.values.keys() >= found.reasons.keys()
    assert model.weight.grad is None  # steps are taken on a copy


def test_a_measured_step_keeps_no_gradient_during_its_forward_pass():
    kept = []

    def loss(model, images):
        kept.append(model.weight.grad is not None)
        return Slow.loss(model, images)

    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    target = ProfileTarget(Slow(0.0), images, lambda _: None, loss)
    plan = resolve(MODELS["stfpm_resnet18"], "baseline", PROFILES["standard"])
    step = _OptimizerStep(target, loss, plan, images.float(), torch.device("cpu"))
    for _ in range(3):
        step()
    assert kept == [False] * 3
