"""StableAdamW against the paper's formula in float64, and against its limits."""

import copy
import inspect
import math

import pytest
import torch

from bench.run.training.stable_adamw import StableAdamW

SETTINGS = {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": 0.1, "eps": 1e-10}


def parameters(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, 4), (5,), (2, 3, 2, 2)]
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def gradients(params, step, generator):
    """Gradients that jump at the third step, so that they are clipped."""
    scale = 50.0 if step == 2 else 1.0
    return [scale * torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]


def run(optimizer, params, steps=6, first=0, seed=2):
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        drawn = gradients(params, step, generator)
        if step < first:
            continue
        for param, grad in zip(params, drawn, strict=True):
            param.grad = grad
        optimizer.step()


def expected(amsgrad, lr, betas, weight_decay, eps, steps=6):
    """Return the parameters and the clipping of every step by the formula, number by number."""
    params, clipped = [p.detach().clone() for p in parameters()], []
    generator = torch.Generator().manual_seed(2)
    mean = [torch.zeros_like(p) for p in params]
    square = [torch.zeros_like(p) for p in params]
    largest = [torch.zeros_like(p) for p in params]
    for step in range(steps):
        for i, grad in enumerate(gradients(params, step, generator)):
            mean[i] = betas[0] * mean[i] + (1 - betas[0]) * grad
            square[i] = betas[1] * square[i] + (1 - betas[1]) * grad**2
            largest[i] = torch.maximum(largest[i], square[i])
            second = largest[i] if amsgrad else square[i]
            denominator = (second / (1 - betas[1] ** (step + 1))) ** 0.5 + eps
            rms = math.sqrt(((grad / denominator) ** 2).mean())
            clipped.append(rms > 1)
            rate = lr / max(1.0, rms)
            corrected = mean[i] / (1 - betas[0] ** (step + 1))
            params[i] = params[i] * (1 - lr * weight_decay) - rate * corrected / denominator
    return params, clipped


@pytest.mark.parametrize("amsgrad", [False, True])
def test_stable_adamw_follows_the_formula(amsgrad):
    params = parameters()
    run(StableAdamW(params, **SETTINGS, amsgrad=amsgrad), params)
    wanted, clipped = expected(amsgrad, **SETTINGS)
    assert any(clipped)
    assert not all(clipped)
    for found, value in zip(params, wanted, strict=True):
        torch.testing.assert_close(found.data, value, rtol=1e-12, atol=1e-12)


def test_stable_adamw_is_adamw_where_nothing_is_clipped():
    steady, plain = parameters(), parameters()
    ours = StableAdamW(steady, **SETTINGS, amsgrad=True)
    theirs = torch.optim.AdamW(plain, **SETTINGS, amsgrad=True)
    for step in range(5):  # shrinking gradients: the root mean square stays at most 1
        for param, other in zip(steady, plain, strict=True):
            param.grad = torch.full_like(param, 0.5**step)
            other.grad = param.grad.clone()
        ours.step()
        theirs.step()
    for param, other in zip(steady, plain, strict=True):
        torch.testing.assert_close(param.data, other.data, rtol=1e-12, atol=1e-12)


def test_stable_adamw_agrees_with_timm():
    from timm.optim.adamw import AdamWLegacy

    if "clipping_threshold" not in inspect.signature(AdamWLegacy).parameters:
        pytest.skip("this timm has no update clipping")
    ours, theirs = parameters(torch.float32), parameters(torch.float32)
    run(StableAdamW(ours, **SETTINGS, amsgrad=True), ours)
    run(AdamWLegacy(theirs, **SETTINGS, amsgrad=True, clipping_threshold=1.0), theirs)
    for param, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(param.data, other.data, rtol=1e-5, atol=1e-6)


def test_stable_adamw_resumes_bit_equal(tmp_path):
    whole, half = parameters(torch.float32), parameters(torch.float32)
    run(StableAdamW(whole, **SETTINGS, amsgrad=True), whole)
    optimizer = StableAdamW(half, **SETTINGS, amsgrad=True)
    run(optimizer, half, steps=3)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    resumed = copy.deepcopy(half)
    other = StableAdamW(resumed, **SETTINGS, amsgrad=True)
    other.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    run(other, resumed, first=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    steps = {int(state["step"]) for state in other.state.values()}
    assert steps == {6}
    assert all(state["step"].device.type == "cpu" for state in other.state.values())


@pytest.mark.gpu
def test_stable_adamw_is_the_same_on_cuda_and_resumes_there(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_host = parameters()
    on_device = [torch.nn.Parameter(p.detach().cuda()) for p in on_host]
    host = StableAdamW(on_host, **SETTINGS, amsgrad=True)
    device = StableAdamW(on_device, **SETTINGS, amsgrad=True)
    for step in range(4):
        for ours, theirs in zip(on_host, on_device, strict=True):
            ours.grad = torch.full_like(ours, 3.0**step)
            theirs.grad = ours.grad.cuda()
        host.step()
        device.step()
        torch.save(device.state_dict(), tmp_path / "optimizer.pt")
        device.load_state_dict(torch.load(tmp_path / "optimizer.pt", map_location="cuda"))
    assert all(state["step"].device.type == "cpu" for state in device.state.values())
    for ours, theirs in zip(on_host, on_device, strict=True):
        torch.testing.assert_close(ours.data, theirs.data.cpu(), rtol=1e-10, atol=1e-12)


def test_stable_adamw_has_groups_and_skips_parameters_without_gradient():
    first, second, third = parameters()
    groups = [{"params": [first, second]}, {"params": [third], "lr": 0.0, "weight_decay": 0.0}]
    optimizer = StableAdamW(groups, 0.1)
    before = [p.detach().clone() for p in (first, second, third)]
    first.grad, third.grad = torch.ones_like(first), torch.ones_like(third)
    optimizer.step()
    assert not torch.equal(first, before[0])
    assert torch.equal(second, before[1])
    assert torch.equal(third, before[2])


def test_stable_adamw_takes_a_schedule_and_a_closure():
    params = parameters()
    optimizer = StableAdamW(params, 1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)

    def closure():
        optimizer.zero_grad()
        loss = sum(param.square().sum() for param in params)
        loss.backward()
        return float(loss.detach())

    losses = []
    for _ in range(4):
        losses.append(optimizer.step(closure))
        schedule.step()
    assert losses[-1] < losses[0]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5**4)


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"lr": 1.0, "betas": (0.9, 1.0)}, {"lr": 1.0, "eps": -1.0}]
)
def test_stable_adamw_refuses_impossible_settings(wrong):
    with pytest.raises(ValueError, match="StableAdamW wanted"):
        StableAdamW(parameters(), **wrong)
