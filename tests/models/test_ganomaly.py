"""GANomaly: both losses and their gradients against separate ones, sizes, and the score."""

import copy

import model_driver as driver
import pytest
import torch
from torch.nn import functional as F

from models.components.base import Batch
from models.ganomaly import build


@pytest.fixture
def model():
    return driver.make("ganomaly")


@pytest.fixture
def images():
    return driver.pictures(4, 1)


def separate_losses(model, images):
    """The generator's and the discriminator's loss as the paper has them, without sharing."""
    x = 2 * images - 1
    rebuilt, latent, second = model.generator(x)
    features = model.discriminator(rebuilt)
    generator = (
        1 * (features - model.discriminator(x)).square().mean()
        + 50 * (rebuilt - x).abs().mean()
        + 1 * (second - latent).square().mean()
    )
    real, fake = (
        model.classifier(model.discriminator(picture)).sigmoid()
        for picture in (x, rebuilt.detach())
    )
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    discriminator = 0.5 * (F.binary_cross_entropy(real, ones) + F.binary_cross_entropy(fake, zeros))
    return generator, discriminator


def test_loss_is_the_sum_of_both_and_each_network_gets_its_own_gradient(model, images):
    model.train()
    twin = copy.deepcopy(model)
    generator_loss, discriminator_loss = separate_losses(twin, images)
    judged = [*twin.discriminator.parameters(), *twin.classifier.parameters()]
    wanted = [
        *torch.autograd.grad(generator_loss, list(twin.generator.parameters()), retain_graph=True),
        *torch.autograd.grad(discriminator_loss, judged),
    ]
    loss = model.loss(Batch(images))
    loss.backward()
    assert loss.item() == pytest.approx((generator_loss + discriminator_loss).item(), rel=1e-5)
    networks = (model.generator, model.discriminator, model.classifier)
    found = [parameter.grad for network in networks for parameter in network.parameters()]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_score_is_the_distance_of_both_latent_vectors_raw(model, images):
    prediction = driver.predict(model, images)["score"]
    assert prediction.maps is None
    with torch.no_grad():
        latent = model.generator.encoder(2 * images - 1)
        second = model.generator.second_encoder(model.generator.decoder(latent))
    wanted = (latent - second).double().square().sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(prediction.scores.double(), wanted)


def test_parameters_are_as_many_as_anomalib_2_7s():
    with torch.device("meta"):
        model = build(weights=None, state=None)
    assert sum(p.numel() for p in model.parameters()) == 188_689_536
    assert sum(p.numel() for p in model.generator.parameters()) == 143_950_208


def test_weights_are_drawn_as_dcgans(model):
    convolution, norm = model.generator.encoder[2], model.generator.encoder[3]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
    assert norm.weight.std() > 0


@pytest.mark.parametrize("size", [16, 32])
def test_every_power_of_two_is_an_image_size(size):
    model = build(weights=None, state=None, width=4, image_size=size)
    assert driver.predict(model, torch.rand(2, 3, size, size))["score"].scores.shape == (2,)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"image_size": 96}, "found 96"), ({"image_size": 8}, "found 8"), ({"weights": "x"}, "'x'")],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"weights": None, "state": None, "width": 4} | change))


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="64x64 pixels, found 32x32"):
        driver.predict(model, torch.rand(1, 3, 32, 32))
