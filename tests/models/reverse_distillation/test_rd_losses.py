import numpy as np
import pytest
import torch

from models.reverse_distillation.distance import distance_maps, flattened_loss, per_pixel_loss

SHAPES = [(3, 8, 16, 12), (3, 16, 8, 6), (3, 32, 4, 3)]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    teacher = [torch.randn(shape, generator=generator) for shape in SHAPES]
    student = [t + 0.7 * torch.randn(t.shape, generator=generator) for t in teacher]
    return teacher, student


def cosine(a, b):
    return (a @ b) / (np.sqrt(a @ a) * np.sqrt(b @ b))


def test_flattened_loss_is_its_formula(features):
    expected = 0.0
    for t, s in zip(*features, strict=True):
        rows = zip(t.double().numpy(), s.double().numpy(), strict=True)
        expected += np.mean([1 - cosine(a.ravel(), b.ravel()) for a, b in rows])
    assert flattened_loss(*features).item() == pytest.approx(expected, abs=1e-6)


def test_flattened_loss_does_not_depend_on_memory_format(features):
    teacher, student = features
    strided = [t.contiguous(memory_format=torch.channels_last) for t in teacher]
    torch.testing.assert_close(flattened_loss(strided, student), flattened_loss(teacher, student))


def test_per_pixel_loss_and_maps_are_their_formulas(features):
    means = []
    for t, s, found in zip(*features, distance_maps(*features), strict=True):
        a, b = t.double().numpy(), s.double().numpy()
        expected = np.empty((t.shape[0], *t.shape[2:]))
        for n, y, x in np.ndindex(expected.shape):
            expected[n, y, x] = 1 - cosine(a[n, :, y, x], b[n, :, y, x])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
        means.append(expected.mean())
    assert per_pixel_loss(*features).item() == pytest.approx(np.mean(means), abs=1e-6)


@pytest.mark.parametrize("loss", [flattened_loss, per_pixel_loss])
def test_gradient_is_the_formulas(loss, features):
    teacher, student = features
    leaves = [s.double()[:1, :2, :2, :2].clone().requires_grad_() for s in student]
    targets = [t.double()[:1, :2, :2, :2] for t in teacher]
    for leaf in leaves:
        leaf.data = leaf.data.float()
    small = [t.float() for t in targets]
    loss(small, leaves).backward()
    for scale, leaf in enumerate(leaves):
        index, step = (0, 1, 1, 0), 1e-2
        values = []
        for sign in (1, -1):
            moved = [x.detach().clone() for x in leaves]
            moved[scale][index] += sign * step
            values.append(loss(small, moved).item())
        numeric = (values[0] - values[1]) / (2 * step)
        assert leaf.grad[index].item() == pytest.approx(numeric, abs=1e-3)


@pytest.mark.parametrize("loss", [flattened_loss, per_pixel_loss])
def test_float32_under_bfloat16_autocast(loss, features):
    teacher, student = features
    near = [t + 1e-3 * s for t, s in zip(teacher, student, strict=True)]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(teacher, near)
        half = loss([t.bfloat16() for t in teacher], [s.bfloat16() for s in student])
    assert found.dtype == half.dtype == torch.float32
    torch.testing.assert_close(found, loss(teacher, near))
    assert half.item() == pytest.approx(loss(teacher, student).item(), rel=0.01)


@pytest.mark.parametrize("loss", [flattened_loss, per_pixel_loss])
def test_all_zero_features_give_a_finite_gradient(loss, features):
    teacher, _ = features
    dead = [torch.zeros_like(t).requires_grad_() for t in teacher]
    value = loss([torch.zeros_like(t) for t in teacher], dead)
    value.backward()
    assert value.item() == (3.0 if loss is flattened_loss else 1.0)
    assert all(torch.isfinite(leaf.grad).all() for leaf in dead)
