"""The loose loss and hard mining against their formulas in float64."""

import pytest
import torch

from models.dinomaly.loss import loose_loss


def tokens(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 10, 6, generator=generator, dtype=torch.float64).to(dtype)


def formula(teacher, student):
    """Return the mean over groups and images of 1 − cosine of flattened features."""
    losses = []
    for target, output in zip(teacher, student, strict=True):
        for a, b in zip(target.flatten(1), output.flatten(1), strict=True):
            losses.append(1 - (a @ b) / (a.norm() * b.norm()))
    return sum(losses) / len(losses)


def test_loss_is_one_minus_the_cosine_of_whole_maps():
    teacher, student = [tokens(1), tokens(2)], [tokens(3), tokens(4)]
    found = loose_loss(teacher, student, 0.5)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(formula(teacher, student).item(), rel=1e-6)
    assert loose_loss(teacher, teacher, 0.5).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("easy", [0.0, 0.4, 0.9])
def test_gradient_at_easy_points_is_a_tenth(easy):
    teacher = [tokens(1, torch.float32), tokens(2, torch.float32)]
    leaves = [tokens(3, torch.float32), tokens(4, torch.float32)]
    for leaf in leaves:
        leaf.requires_grad_()
    loose_loss(teacher, [1.0 * leaf for leaf in leaves], easy).backward()
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    formula([group.double() for group in teacher], doubles).backward()
    for target, leaf, double in zip(teacher, leaves, doubles, strict=True):
        a, b = target.double(), double.detach()
        distances = 1 - (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
        ranked = distances.flatten().sort(descending=True).values
        count = max(1, int(30 * (1 - easy)))  # of the whole batch, not of each image
        factor = torch.where(distances < ranked[count - 1], 0.1, 1.0)
        assert (factor == 1).sum() == count
        wanted = double.grad * factor[..., None]
        torch.testing.assert_close(leaf.grad.double(), wanted, rtol=1e-4, atol=1e-7)


def test_teacher_gets_no_gradient_and_no_gradient_is_no_error():
    teacher, student = tokens(1).requires_grad_(), tokens(2).requires_grad_()
    loose_loss([teacher], [1.0 * student], 0.9).backward()
    assert teacher.grad is None
    assert student.grad is not None
    with torch.no_grad():
        assert loose_loss([teacher], [student], 0.9) > 0
