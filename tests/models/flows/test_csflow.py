"""CS-Flow against its paper: shapes, the cross-scale network by hand, scores, parameters."""

import math

import model_driver as driver
import pytest
import torch
from torch.nn import functional as F

from models.catalog import MODELS
from models.components.base import Batch
from models.flows.csflow import CrossScaleNetwork, join, split

SHAPES = [(3, 8, 8), (3, 4, 4), (3, 2, 2)]


@pytest.mark.parametrize(("name", "sides"), [("csflow", (8, 4, 2)), ("csflow_768", (24, 12, 6))])
def test_shapes_and_parameters_of_the_published_size(name, sides):
    entry = MODELS[name]
    with torch.device("meta"):
        model = entry.load_build()(weights=entry.weights, state=None, image_size=entry.image_size)
    wanted = [(304, side, side) for side in sides]
    assert model.backbone.shapes((entry.image_size,) * 2) == wanted
    # By hand: per coupling two networks of 3 + 7 convolutions with biases and one scalar.
    weights = 3 * 152 * 1024 + 7 * 1024 * 304
    networks = [weights * kernel**2 + 3 * 1024 + 7 * 304 + 1 for kernel in (3, 3, 3, 5)]
    assert sum(p.numel() for p in model.trainable_parameters()) == 2 * sum(networks)


def test_join_and_split_undo_each_other():
    maps = [torch.rand(2, *shape) for shape in SHAPES]
    for part, whole in zip(split(join(maps), SHAPES), maps, strict=True):
        assert torch.equal(part, whole)


def test_cross_scale_network_mixes_neighboring_scales():
    torch.manual_seed(0)
    network = CrossScaleNetwork(3, 2, SHAPES, hidden=4, kernel=3)
    maps = [torch.randn(2, *shape) for shape in SHAPES]
    assert not network(join(maps)).any()  # every coupling begins as the identity
    network.gamma.data.fill_(0.7)
    a, b, c = (F.leaky_relu(conv(x), 0.1) for conv, x in zip(network.first, maps, strict=True))

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear")

    wanted = [
        network.same[0](a) + network.up[0](up(b)),
        network.same[1](b) + network.up[1](up(c)) + network.down[0](a),
        network.same[2](c) + network.down[1](b),
    ]
    for ours, by_hand in zip(split(network(join(maps)), SHAPES), wanted, strict=True):
        torch.testing.assert_close(ours, 0.7 * by_hand)


def test_coupling_is_softly_clamped_as_in_the_paper():
    model = driver.make("csflow")
    couplings = [m for m in model.flow if hasattr(m, "f_clamp")]
    values = torch.linspace(-50, 50, 11)
    for coupling in couplings:
        found = coupling.clamp * coupling.f_clamp(values)
        torch.testing.assert_close(found, 2 * 3 / math.pi * torch.atan(values / 3))
        assert found.abs().max() < 3


def test_scores_and_maps_by_the_paper():
    model = driver.make("csflow").eval()
    batch = driver.batch_of(model, driver.pictures(2, 1))
    with torch.no_grad():
        latents, _ = model.transform(batch.features)
        prediction = model.predict(batch)["score"]
    total = sum(z.double().square().sum((1, 2, 3)) for z in latents) / 2
    count = sum(z[0].numel() for z in latents)
    torch.testing.assert_close(prediction.scores.double(), total / count, rtol=1e-5, atol=0)
    finest = latents[0].square().mean(1) / 2
    maps = F.interpolate(finest[:, None], batch.size, mode="bilinear")[:, 0]
    torch.testing.assert_close(prediction.maps, maps, rtol=1e-4, atol=0)  # z² is about 4e-8


def test_loss_is_per_dimension_and_not_summed_over_the_batch():
    model = driver.make("csflow")
    batch = driver.batch_of(model, driver.pictures(2, 1))
    alone = [
        model.loss(Batch(None, [f[i : i + 1] for f in batch.features], image_size=(64, 64)))
        for i in range(2)
    ]
    torch.testing.assert_close(model.loss(batch), torch.stack(alone).mean())
    latents, determinant = model.transform(batch.features)
    log_density = sum(
        torch.distributions.Normal(0, 1).log_prob(z.double()).sum((1, 2, 3)) for z in latents
    )
    dimensions = sum(z[0].numel() for z in latents)
    wanted = -(log_density + determinant).mean() / dimensions - math.log(2 * math.pi) / 2
    assert model.loss(batch).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_backbone_sees_three_scales_of_the_images():
    model = driver.make("csflow")
    images = driver.pictures(2, 1, (128, 128))
    features = model.backbone(images)
    assert [tuple(each.shape[1:]) for each in features] == model.backbone.shapes((128, 128))
    half = F.interpolate(images, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(features[1], model.backbone.backbones[0](half)[0])
    digests = model.backbone.digests()
    assert len(set(digests.values())) == 3


def test_hidden_channels_may_be_as_many_as_the_inputs():
    network = CrossScaleNetwork(4, 8, SHAPES, hidden=4, kernel=3)
    maps = [torch.randn(2, 4, *shape[1:]) for shape in SHAPES]
    assert network(join(maps)).shape == (2, 8, 64 + 16 + 4)
