"""MixUp and CutMix: λ, boxes and labels, against SciPy, counted pixels and torchvision."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from datasets_lib.augment.mixing import CutMix, MixUp
from datasets_lib.augment.random_streams import RandomStreams

SIZE = 16


def streams(count, step=0):
    return RandomStreams(torch.arange(count), seed=3, step=step)


def constant_images(count):
    """Image i is i everywhere, of class i: outputs show which images were mixed."""
    return torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE) / 255


@pytest.mark.parametrize("mixing", [MixUp, CutMix])
@pytest.mark.parametrize("per_sample", [False, True])
def test_labels_mix_by_the_share_of_pixels(mixing, per_sample):
    count = 20
    augmentation = mixing(count, per_sample=per_sample)
    mixed, soft = augmentation(constant_images(count), torch.arange(count), streams(count))
    assert torch.allclose(soft.sum(1), torch.ones(count), atol=1e-6)
    # A pixel's value is the class it came from, so the mean pixel is the mean class.
    mean_class = (soft.double() * torch.arange(count)).sum(1)
    assert torch.allclose(mixed.double().mean((1, 2, 3)) * 255, mean_class, atol=1e-4)
    own = soft.diagonal()[soft.diagonal() < 1]
    assert (own.unique().numel() > 5) == per_sample


def test_cutmix_pastes_one_box_of_the_partner():
    count = 12
    mixed, soft = CutMix(count, per_sample=True)(
        (constant_images(count) * 255).round().to(torch.uint8), torch.arange(count), streams(count)
    )
    assert mixed.dtype == torch.uint8
    for number in range(count):
        changed = mixed[number, 0] != number
        partners = mixed[number, 0][changed].long().unique()
        assert len(partners) <= 1
        rows, columns = changed.any(1), changed.any(0)
        assert torch.equal(changed, rows[:, None] & columns[None, :])
        pasted = float(changed.double().mean())
        assert float(soft[number, number]) == pytest.approx(1 - pasted, abs=1e-6)
        for partner in partners:
            assert float(soft[number, partner]) == pytest.approx(pasted, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_mixup_draws_lambda_from_beta(alpha):
    count = 4000
    images = torch.zeros(count, 3, 1, 1)
    _, soft = MixUp(2, alpha, per_sample=True)(images, torch.arange(count) % 2, streams(count))
    # Half of the pairs have one class only; of the others the own label's share is λ.
    own = soft.gather(1, (torch.arange(count) % 2)[:, None])[:, 0]
    values = own[(own < 1) & (own > 0)].numpy()
    assert len(values) > 1500
    if alpha == 1:
        assert stats.kstest(values, stats.uniform.cdf).pvalue > 1e-3
    else:
        wanted = stats.beta(alpha, alpha).rvs(50_000, random_state=1)
        assert stats.ks_2samp(values, wanted).pvalue > 1e-3


def batch_shares(mix, batches):
    """λ of batches of two images: what the first keeps of its own label, if partners differ."""
    return np.array([float(mix(step)[0, 0]) for step in range(batches)])


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_shares_are_distributed_as_in_torchvision(name):
    ours = {"MixUp": MixUp, "CutMix": CutMix}[name](2)
    theirs = getattr(v2, name)(num_classes=2)
    images, labels = torch.zeros(2, 3, 32, 32), torch.arange(2)
    torch.manual_seed(0)
    reference = batch_shares(lambda _: theirs(images, labels)[1], 1000)
    found = batch_shares(lambda step: ours(images, labels, streams(2, step))[1], 2000)
    # torchvision's partner is always the other one; ours is itself half of the time.
    found = found[found < 1]
    reference = reference[reference < 1]
    assert len(found) > 750
    assert stats.ks_2samp(found, reference).pvalue > 1e-3
    assert found.mean() == pytest.approx(reference.mean(), abs=0.03)
    assert found.var() == pytest.approx(reference.var(), abs=0.01)


def test_soft_labels_mix_too_and_uint8_images_become_float():
    soft = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    images = torch.full((3, 3, 2, 2), 51, dtype=torch.uint8)
    mixed, labels = MixUp(2)(images, soft, streams(3))
    assert torch.allclose(mixed, torch.full_like(mixed, 0.2))
    assert torch.allclose(labels.sum(1), torch.ones(3))
    assert soft.min() - 1e-6 <= labels.min()


@pytest.mark.parametrize(
    "targets", [None, torch.zeros(2, 4, 4, dtype=torch.bool), torch.ones(2, 3)]
)
def test_targets_that_cannot_mix_are_refused(targets):
    with pytest.raises(ValueError, match=r"need labels \(B,\) or soft labels \(B, 5\), found"):
        CutMix(5)(torch.zeros(2, 3, 4, 4), targets, streams(2))
