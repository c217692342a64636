"""SuperSimpleNet against its formulas, and what its noise and its labels affect."""

from dataclasses import replace

import model_driver as driver
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.protocol import PROFILES, resolve
from datasets_lib.augment.random_streams import RandomStreams
from models.catalog import MODELS
from models.components.base import ModelContractError
from models.supersimplenet.features import AdaptedFeatures, downsampled_masks, mean_where
from models.supersimplenet.heads import Heads
from models.supersimplenet.model import _with_noise, build, segmentation_loss

NAME = "supersimplenet_resnet18"


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "adaptor", "heads"),
    [  # counted in the official code
        ("supersimplenet", 2_360_832, 6_496_003),
        ("supersimplenet_supervised", 2_360_832, 6_496_003),
        ("supersimplenet_resnet18", 147_840, 1_629_955),
    ],
)
def test_parameters_are_the_official_codes(name, adaptor, heads):
    entry = MODELS[name]
    with torch.device("meta"):
        model = build(weights=entry.weights, state=None, **entry.options)
    assert count(model.adaptor) == adaptor
    assert count(model.heads) == heads


def test_adapted_features_are_upsampled_averaged_and_mapped():
    generator = torch.Generator().manual_seed(4)
    layers = [torch.randn(2, 5, 6, 4, generator=generator), torch.randn(2, 3, 3, 2)]
    adaptor = AdaptedFeatures([5, 3])
    torch.nn.init.normal_(adaptor.projection.bias)
    large = torch.cat(
        [F.interpolate(x.double(), (12, 8), mode="bilinear", align_corners=True) for x in layers],
        dim=1,
    )
    padded = F.pad(large, (1, 1, 1, 1))
    averaged = sum(padded[..., y : y + 12, x : x + 8] for y in range(3) for x in range(3)) / 9
    weight, bias = adaptor.projection.weight.double()[..., 0, 0], adaptor.projection.bias.double()
    expected = torch.einsum("oc,bchw->bohw", weight, averaged) + bias[:, None, None]
    torch.testing.assert_close(adaptor(layers).double(), expected, atol=1e-5, rtol=1e-5)


def test_masks_keep_positions_that_are_half_defective():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :4, :4] = True
    masks[1, 2, 5] = True  # one pixel of 4 × 4 is too little
    wanted = torch.zeros(2, 2, 2, dtype=torch.bool)
    wanted[0, 0, 0] = True
    assert torch.equal(downsampled_masks(masks, (2, 2)), wanted)


def test_mean_where_of_nothing_is_zero():
    values = torch.arange(4.0)
    assert mean_where(values, torch.tensor([False, True, True, False])).item() == 1.5
    assert mean_where(values, torch.zeros(4, dtype=torch.bool)).item() == 0


def formula(maps, defects):
    """Truncated L1 and focal loss (gamma 4), position by position."""
    normal, defective, focal = [], [], []
    for value, defect in zip(maps.ravel(), defects.ravel(), strict=True):
        (defective if defect else normal).append(max(0.5 - value if defect else value + 0.5, 0))
        probability = 1 / (1 + np.exp(-value if defect else value))
        focal.append(-((1 - probability) ** 4) * np.log(probability))
    return np.mean(normal or 0) + np.mean(defective or 0) + np.mean(focal)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_segmentation_loss_is_its_formula(share):
    generator = torch.Generator().manual_seed(2)
    maps = 2 * torch.randn(3, 5, 4, generator=generator)
    defects = torch.rand(3, 5, 4, generator=generator) < share
    found = segmentation_loss(maps, defects).item()
    expected = formula(maps.double().numpy(), defects.numpy())
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("stop", [True, False])
def test_score_reads_the_map_and_may_leave_it_alone(stop):
    torch.manual_seed(1)
    heads = Heads(6, stop_gradient=stop).eval()
    features = torch.randn(2, 6, 5, 5)
    maps, scores = heads(features)
    scores.sum().backward()
    gradients = [parameter.grad for parameter in heads.segmentation.parameters()]
    assert all(grad is None for grad in gradients) == stop
    before = scores.detach()
    heads.segmentation[-1].weight.data += 1
    moved_maps, moved_scores = heads(features)
    assert not torch.allclose(moved_maps, maps)
    assert not torch.allclose(moved_scores, before)


@pytest.fixture(scope="module")
def model():
    return driver.make(NAME)


def perturbations(model, batch):
    """Return what the heads are given in training, less the adapted features: (2B, C, h, w)."""
    seen = []
    hook = model.heads.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model.train()
    model.loss(batch)
    hook.remove()
    return seen[0] - model.adaptor(batch.features).detach().repeat(2, 1, 1, 1)


def test_noise_is_gaussian_under_masks_and_in_half_of_the_images(model):
    torch.manual_seed(6)
    batch = driver.batch_of(model, driver.pictures(64, 1))
    noise = perturbations(model, batch)
    where = noise.abs().amax(dim=1) > 1e-5  # adapted features are rounded
    assert 0.3 < where.flatten(1).any(dim=1).float().mean().item() < 0.55
    values = noise.movedim(1, -1)[where]
    assert values.std().item() == pytest.approx(0.015, rel=0.02)
    assert values.mean().item() == pytest.approx(0, abs=2e-4)


def test_a_recipe_adds_noise_to_fewer_positions_as_the_authors_do_on_visa():
    shares = []
    for recipe in ("baseline", "threshold06"):
        model = driver.make(NAME, recipe)
        draws = RandomStreams(torch.arange(32), seed=6)
        batch = replace(driver.batch_of(model, driver.pictures(32, 1)), draws=draws)
        where = perturbations(model, batch).abs().amax(dim=1) > 1e-5
        shares.append(where.float().mean().item())
    assert 0 < shares[1] < 0.6 * shares[0]


@pytest.mark.parametrize(("recipe", "threshold"), [("baseline", 0.2), ("threshold06", 0.6)])
def test_both_thresholds_are_trained_as_published(recipe, threshold):
    plan = resolve(MODELS["supersimplenet"], recipe, PROFILES["paper"])
    assert plan.options["threshold"] == threshold
    assert (plan.recipe.epochs, plan.recipe.batch_size) == (300, 32)


def test_noise_belongs_to_the_samples_whatever_their_batch(model):
    def noise_of(begin):
        images = driver.pictures(8, 1)[begin:]
        draws = RandomStreams(torch.arange(begin, 8), seed=6)
        return perturbations(model, replace(driver.batch_of(model, images), draws=draws))

    whole, part = noise_of(0).unflatten(0, (2, 8)), noise_of(4).unflatten(0, (2, 4))
    assert (whole[:, 4:].abs() > 1e-5).any()
    torch.testing.assert_close(part, whole[:, 4:], rtol=0, atol=1e-4)  # features are rounded
    assert (whole[0] - whole[1]).abs().max() > 1e-3  # each sample's two copies have their own


@pytest.mark.parametrize("noisy", [[], [2], [0, 1, 5]])
def test_noise_of_some_images_is_that_drawn_for_all(noisy):
    halves = [RandomStreams(torch.arange(3), seed=6).fold_in(name) for name in ("a", "b")]
    features = torch.rand(6, 4, 5, 7).contiguous(memory_format=torch.channels_last)
    where = torch.zeros(6, 5, 7, dtype=torch.bool)
    where[noisy, 1:3] = True
    drawn = torch.cat([half.fold_in("noise").normal(5, 7, 4) for half in halves])
    wanted = features + 0.015 * drawn.permute(0, 3, 1, 2) * where[:, None]
    found = _with_noise(features.clone(), halves, where)
    assert found.equal(wanted)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_adapted_features_keep_channels_last(model):
    layers = [
        torch.rand(2, channels, side, side).contiguous(memory_format=torch.channels_last)
        for channels, side in ((128, 8), (256, 4))
    ]
    adapted = model.adaptor(layers)
    assert adapted.is_contiguous(memory_format=torch.channels_last)


def test_noise_spares_known_defects():
    model = driver.make("supersimplenet_supervised_resnet18", threshold=-2.0)
    masks = torch.zeros(8, 64, 64, dtype=torch.bool)
    masks[:, 16:48, 16:48] = True
    batch = driver.batch_of(
        model, driver.pictures(8, 1), masks=masks, targets=torch.ones(8, dtype=torch.bool)
    )
    where = perturbations(model, batch).abs().amax(dim=1) > 1e-5
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    noisy = where[where.flatten(1).any(dim=1)]
    assert 4 < len(noisy) < 12  # of 16: with this threshold every image that gets noise
    assert torch.equal(noisy, ~inside.expand_as(noisy))


def test_labels_without_a_mask_affect_only_the_score():
    """A defect too small for the features' grid is defective for the classification head."""
    model = driver.make("supersimplenet_supervised_resnet18", threshold=2.0)  # no noise
    images, losses = driver.pictures(2, 1), []
    for label in (False, True):
        targets = torch.full((2,), label)
        batch = driver.batch_of(
            model, images, masks=torch.zeros(2, 64, 64, dtype=torch.bool), targets=targets
        )
        losses.append(model.train().loss(batch).item())
    with torch.no_grad():
        maps, scores = model.heads(model.adaptor(batch.features).repeat(2, 1, 1, 1))
    maps, scores = maps.double().numpy(), scores.double().numpy()
    for label, loss in zip((False, True), losses, strict=True):
        p = 1 / (1 + np.exp(-scores if label else scores))
        expected = formula(maps, np.zeros(maps.shape, bool)) - ((1 - p) ** 4 * np.log(p)).mean()
        assert loss == pytest.approx(expected, rel=1e-4)


def test_supervised_model_without_labels_says_so():
    model = driver.make("supersimplenet_supervised_resnet18")
    with pytest.raises(ModelContractError, match="supervised=True"):
        model.loss(driver.batch_of(model, driver.pictures(2, 1)))


def test_adaptor_has_half_the_heads_rate(model):
    groups = dict(model.parameter_groups())
    assert set(groups) == {1.0, 0.5}
    assert set(groups[0.5]) == set(model.adaptor.parameters())
    assert {*groups[0.5], *groups[1.0]} == set(model.trainable_parameters())
