"""DSR's synthetic defects: which codes may be drawn, where, and the smudges' blend."""

import pytest
import torch

from datasets_lib.augment.random_streams import RandomStreams
from models.catalog import WEIGHTS
from models.dsr import defects
from models.dsr.defects import Swaps, coarsened, defective_codes, smudged, swapped
from models.dsr.vqvae import Codebook, frozen_vqvae


def draws(count, first=0):
    return RandomStreams(torch.arange(first, first + count), 0)


@pytest.fixture
def vqvae():
    torch.manual_seed(0)
    return frozen_vqvae(WEIGHTS["dsr_vqvae.pretrained"], None, 16, 64)


def ranks_of(found, features, vectors):
    """Ranks of codes by the distance from the features, by sorting in float64."""
    ranks = []
    for code, feature in zip(found, features, strict=True):
        distances = (vectors.double() - feature.double()).norm(dim=1)
        index = (vectors == code).all(1).nonzero().item()
        ranks.append((distances < distances[index]).sum().item())
    return ranks


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_codes_are_drawn_beyond_the_nearest_within_the_strength(strength):
    torch.manual_seed(0)
    codes, features = Codebook(200, 4), torch.randn(2, 4, 30, 30)
    quantized = codes(features).detach()
    masks = torch.ones(2, 30, 30, dtype=torch.bool)
    swaps = Swaps(masks, torch.tensor([strength, strength]), draws(2))
    found = swapped(features, quantized, codes, swaps).detach()
    rows, wanted = (x.movedim(1, -1).flatten(0, -2) for x in (features, found))
    ranks = ranks_of(wanted[:900], rows[:900], codes.vectors.detach())
    last = min(int(strength * 200) + 1, 199)  # not included
    assert min(ranks) == 10
    assert max(ranks) == last - 1 or (strength == 1.0 and max(ranks) > 190)
    assert sum(ranks) / len(ranks) == pytest.approx((10 + last - 1) / 2, rel=0.1)


def test_each_image_has_its_own_strength_and_mask():
    torch.manual_seed(0)
    codes, features = Codebook(200, 4), torch.randn(2, 4, 20, 20)
    quantized = codes(features).detach()
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    masks[0, :10], masks[1, 15:] = True, True
    swaps = Swaps(masks, torch.tensor([0.2, 1.0]), draws(2))
    found = swapped(features, quantized, codes, swaps).detach()
    changed = (found != quantized).any(1)
    assert torch.equal(changed, masks)
    highest = []
    for image in range(2):
        rows = features[image].movedim(0, -1)[masks[image]]
        swapped_rows = found[image].movedim(0, -1)[masks[image]]
        highest.append(max(ranks_of(swapped_rows, rows, codes.vectors.detach())))
    assert highest[0] <= 40 < 150 < highest[1]


def test_no_mask_changes_nothing():
    codes, features = Codebook(30, 4), torch.randn(1, 4, 6, 6)
    quantized = codes(features).detach()
    masks = torch.zeros(1, 6, 6, dtype=torch.bool)
    swaps = Swaps(masks, torch.ones(1), draws(1))
    assert torch.equal(swapped(features, quantized, codes, swaps), quantized)


def test_masks_are_coarsened_to_squares_with_any_pixel():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, 5, 9] = True
    assert coarsened(masks, 4).nonzero().tolist() == [[0, 1, 2]]
    assert coarsened(masks, 8).nonzero().tolist() == [[0, 0, 1]]


def test_codes_change_under_the_mask_in_one_resolution_or_both(vqvae):
    torch.manual_seed(0)
    images = torch.rand(64, 3, 64, 64)
    codes = defective_codes(vqvae, images, draws(64))
    assert codes.masks.shape == (64, 64, 64)
    changed_lo = (codes.lo != codes.normal_lo).any(1)
    changed_hi = (codes.hi != codes.normal_hi).any(1)
    defective = codes.masks.flatten(1).any(1)
    assert 15 < defective.sum() < 40  # half of the images, less the empty masks
    assert not changed_lo[~defective].any()
    assert not changed_hi[~defective].any()
    # A defect of the low resolution moves features around it too; its own positions are masked.
    assert not (changed_lo & ~coarsened(codes.masks, 8)).any()
    lo, hi = changed_lo.flatten(1).any(1), changed_hi.flatten(1).any(1)
    assert (lo & hi).any()
    assert (lo & ~hi).any()
    assert (hi & ~lo).any()


def test_images_with_defects_in_the_high_resolution_alone_have_its_finer_mask(vqvae):
    torch.manual_seed(0)
    codes = defective_codes(vqvae, torch.rand(64, 3, 64, 64), draws(64))
    hi_alone = ~(codes.lo != codes.normal_lo).flatten(1).any(1) & codes.masks.flatten(1).any(1)
    finer = codes.masks[hi_alone]
    assert len(finer)
    squares = coarsened(finer, 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(finer, squares)
    assert (finer != coarsened(finer, 8).repeat_interleave(8, 1).repeat_interleave(8, 2)).any()


def test_smudges_blend_one_color_into_their_mask(monkeypatch):
    monkeypatch.setattr(defects, "PROBABILITY", 1.1)
    torch.manual_seed(0)
    images = torch.rand(40, 3, 32, 32)
    smudges, masks = smudged(images, draws(40))
    outside = ~masks[:, None].expand_as(images)
    assert torch.equal(smudges[outside], images[outside])
    betas = []
    for smudge, image, mask in zip(smudges, images, masks, strict=True):
        if mask.sum() < 2:
            continue
        # (1 − β) color + β image, in each channel: a line of slope β.
        inside, below = smudge[:, mask].double(), image[:, mask].double()
        slope = (inside[:, 1] - inside[:, 0]) / (below[:, 1] - below[:, 0])
        color = (inside[:, 0] - slope * below[:, 0]) / (1 - slope)
        assert (slope - slope[0]).abs().max() < 1e-3
        blended = (1 - slope[0]) * color[:, None] + slope[0] * below
        assert (blended - inside).abs().max() < 1e-3
        betas.append(slope[0].item())
    assert 0 <= min(betas) < 0.15
    assert 0.65 < max(betas) <= 0.8001


def test_defects_do_not_depend_on_their_batch(vqvae):
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole, part = (
        defective_codes(vqvae, images[begin:], draws(8 - begin, begin)) for begin in (0, 4)
    )
    assert whole.masks[4:].any()
    assert torch.equal(part.masks, whole.masks[4:])
    torch.testing.assert_close(part.hi, whole.hi[4:])
    smudges, part = (smudged(images[begin:], draws(8 - begin, begin))[0] for begin in (0, 4))
    torch.testing.assert_close(part, smudges[4:])
