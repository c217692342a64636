"""Timing: warm-up is left out, samples are of single steps, the collector is restored."""

import gc
import statistics
import time

import pytest
import torch

from bench.run.measure.timing import measure_inference, measure_latency, steady_samples

IMAGE = torch.zeros(1, 3, 4, 4)


class Sleeper:
    """A model that sleeps: long in its first calls, as one that compiles, then evenly."""

    def __init__(self, seconds, warm_up=()):
        self.seconds = seconds
        self.warm_up = list(warm_up)
        self.calls = 0
        self.collector = []

    def __call__(self, images):
        self.calls += 1
        self.collector.append(gc.isenabled())
        time.sleep(self.warm_up.pop(0) if self.warm_up else self.seconds)


@pytest.mark.parametrize("measure", [measure_inference, measure_latency])
def test_samples_are_seconds_of_one_call(measure):
    slow = measure(Sleeper(0.020), IMAGE, budget_s=0.1)
    fast = measure(Sleeper(0.002), IMAGE, budget_s=0.1)
    assert min(slow) >= 0.020
    assert min(fast) >= 0.002
    # Sleeping oversleeps on a busy machine, the best of ten far less.
    assert min(slow) > 3 * min(fast)


@pytest.mark.parametrize("measure", [measure_inference, measure_latency])
def test_warm_up_is_not_among_the_samples(measure):
    samples = measure(Sleeper(0.002, warm_up=[0.5, 0.2, 0.2]), IMAGE, budget_s=0.3)
    assert statistics.median(samples) < 0.1
    assert samples[0] < 0.2


def test_rounds_follow_the_budget():
    assert len(measure_inference(Sleeper(0.02), IMAGE, min_rounds=4, budget_s=0.01)) == 4
    assert len(measure_inference(Sleeper(0.0), IMAGE, max_rounds=30, budget_s=1.0)) == 30


def test_warm_up_is_bounded():
    model = Sleeper(0.0, warm_up=[0.5 * 0.8**call for call in range(40)])  # falls forever
    measure_inference(model, IMAGE, min_rounds=1, max_rounds=1, budget_s=0.5)
    assert model.calls <= 8


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_rests_and_is_restored(enabled):
    model = Sleeper(0.0)
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        measure_latency(model, IMAGE, budget_s=0.01)
        assert gc.isenabled() is enabled
        assert not any(model.collector)
        with pytest.raises(RuntimeError, match="broken"):
            measure_inference(broken, IMAGE)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


def broken(images):
    raise RuntimeError("broken")


def test_measuring_builds_no_graph():
    weight = torch.ones(3, requires_grad=True)
    seen = []
    measure_inference(lambda x: seen.append((weight * 2).requires_grad), IMAGE, budget_s=0.01)
    assert not any(seen)


def test_latency_is_of_one_image():
    with pytest.raises(ValueError, match=r"single image.*\(2, 3, 4, 4\)"):
        measure_latency(Sleeper(0.0), torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("steps", "steady"),
    [
        ([60.0, 3.0, 1.0, 1.01, 0.99, 1.0], [1.0, 1.01, 0.99, 1.0]),
        ([1.0, 1.0, 1.0, 5.0, 1.0], [1.0, 1.0, 1.0, 5.0, 1.0]),  # a stall is not warm-up
        ([2.0, 2.0, 2.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        ([5.0, 4.0, 3.0, 2.0], [3.0, 2.0]),  # never steady: the later half
        ([1.0, 2.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]),  # slowing down is not hidden
        ([9.0, 1.0], [1.0]),
        ([1.0], [1.0]),
        ([], []),
    ],
)
def test_steady_samples(steps, steady):
    assert steady_samples(steps) == steady


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_times_are_of_the_work_not_of_the_launches():
    matrix = torch.randn(4096, 4096, device="cuda")
    image = torch.zeros(1, 3, 4, 4, device="cuda")
    one = measure_inference(lambda x: matrix @ matrix, image, budget_s=0.2)
    eight = measure_inference(lambda x: [matrix @ matrix for _ in range(8)], image, budget_s=0.2)
    assert 5 < statistics.median(eight) / statistics.median(one) < 11
