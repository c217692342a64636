"""UniNet's formulas in float64, written out by position."""

import numpy as np
import pytest
import torch

from models.uninet import loss
from models.uninet.loss import uninet_loss
from models.uninet.model import _mean_of_largest, decision_share
from models.uninet.selection import FeatureSelection

SHAPES = [(2, 4, 3, 2), (2, 6, 2, 2)]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(3)
    teacher = [torch.randn(shape, generator=generator) for shape in SHAPES]
    student = [t + 0.8 * torch.randn(t.shape, generator=generator) for t in teacher]
    return teacher, student


def formula(teacher, student, temperature):
    """The official code's loss, its 1e-8 included."""
    total = 0.0
    for t, s in zip(teacher, student, strict=True):
        batch, channels = t.shape[:2]
        rows = [x.double().numpy().reshape(batch, channels, -1).swapaxes(1, 2) for x in (t, s)]
        theirs, ours = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in rows)
        cosines, probabilities = [], []
        for image in range(batch):
            for position in range(theirs.shape[1]):
                cosines.append(ours[image, position] @ theirs[image, position])
                all_of_them = np.exp(ours[image, position] @ theirs[image].T / temperature)
                own = np.exp(cosines[-1] / temperature)
                probabilities.append(own / (all_of_them.sum() + 1e-8))
        cosines, probabilities = np.array(cosines), np.array(probabilities)
        contrast = -np.log(probabilities + 1e-8).mean()
        margin = np.maximum(1 - probabilities, 0).mean()
        total += 0.7 * (1 - cosines).mean() + 0.3 * contrast + margin
    return total


@pytest.mark.parametrize("temperature", [2.0, 0.1])
def test_loss_is_its_formula(features, temperature):
    found = uninet_loss(*features, temperature).item()
    assert found == pytest.approx(formula(*features, temperature), rel=1e-5)


def test_loss_in_parts_is_the_loss_at_once(features, monkeypatch):
    def loss_and_gradients():
        leaves = [[x.clone().requires_grad_() for x in part] for part in features]
        value = uninet_loss(*leaves, 0.5)
        value.backward()
        return value.detach(), [leaf.grad for part in leaves for leaf in part]

    whole, wanted = loss_and_gradients()
    monkeypatch.setattr(loss, "_SIMILARITIES", 12)  # rows of 2 of 6 positions, and of 3 of 4
    value, found = loss_and_gradients()
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(found, wanted)


def test_loss_is_float32_under_autocast(features):
    with torch.autocast("cpu", torch.bfloat16):
        found = uninet_loss(*features, 2.0)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(formula(*features, 2.0), rel=1e-5)


def test_gradient_of_the_loss_is_its_difference_quotient(features):
    teacher, student = ([x.double() for x in part] for part in features)
    leaf = student[0].float().requires_grad_()
    uninet_loss([t.float() for t in teacher], [leaf, student[1].float()], 0.5).backward()
    place, step = (1, 2, 0, 1), 1e-4
    values = []
    for sign in (1, -1):
        moved = student[0].clone()
        moved[place] += sign * step
        values.append(formula(teacher, [moved, student[1]], 0.5))
    numeric = (values[0] - values[1]) / (2 * step)
    assert leaf.grad[place].item() == pytest.approx(numeric, rel=1e-3)


def test_selection_weights_are_their_formula(features):
    teacher, student = features
    selection = FeatureSelection([4, 6])
    theta = [0.7, -1.3]  # σ + 1/2 is 1.17, clamped to 1, and 0.714
    for parameter, value in zip(selection.thetas, theta, strict=True):
        parameter.data.fill_(value)
    bounded = [min(1 / (1 + np.exp(-value)) + 0.5, 1.0) for value in theta]
    assert bounded == pytest.approx([1.0, 0.714], abs=1e-3)
    found = selection(student, teacher)
    for t, s, f, factor in zip(teacher, student, found, bounded, strict=True):
        for image, channel in np.ndindex(t.shape[:2]):
            prior = t[image, channel].double().numpy()
            softmax = np.exp(prior) / np.exp(prior).sum()
            expected = s[image, channel].double().numpy() * softmax * (factor + prior.mean())
            np.testing.assert_allclose(f[image, channel].detach().numpy(), expected, atol=1e-6)


def test_theta_starts_at_one_and_learns(features):
    teacher, student = features
    selection = FeatureSelection([4, 6])
    uninet_loss(teacher, selection(student, teacher), 2.0).backward()
    for parameter in selection.thetas:
        assert (parameter.sigmoid() + 0.5).clamp(max=1).unique().tolist() == [1.0]
        assert parameter.grad.abs().min() > 0


def share_of(peaks):
    """The weighted decision mechanism, for one image."""
    softmax = np.exp(peaks) / np.exp(peaks).sum()
    chosen = [peak for peak, p in zip(peaks, softmax, strict=True) if p > softmax.mean()]
    return max(np.mean(chosen) * 0.01, 3e-5)


def test_share_is_the_decision_mechanisms():
    peaks = np.random.default_rng(5).uniform(0, 1.2, (20, 6))
    peaks[0] = [2e-3, 1e-3, 0, 0, 0, 0]  # below the lower bound
    found = decision_share(torch.from_numpy(peaks))
    np.testing.assert_allclose(found.numpy(), [share_of(row) for row in peaks], rtol=1e-9)
    assert found[0].item() == 3e-5


def test_share_of_equal_peaks_is_finite():
    found = decision_share(torch.full((2, 6), 0.4))
    torch.testing.assert_close(found, torch.full((2,), 0.004))


def test_score_is_the_mean_of_the_largest_values():
    maps = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(1))
    shares = torch.tensor([0.0101, 3e-5, 0.5])  # 20 of 2,000 pixels, at least one, at most 40
    found = _mean_of_largest(maps, shares)
    for image, count in enumerate((20, 1, 40)):
        largest = np.sort(maps[image].double().numpy().ravel())[-count:]
        assert found[image].item() == pytest.approx(largest.mean(), rel=1e-6)
