import copy

import numpy as np
import pytest
import torch
from model_driver import batch_of, train
from scipy.ndimage import gaussian_filter
from torch import nn

from models.autoencoder import build
from models.components.ssim import structural_similarity

SIDE = 64


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights=None, state=None, **({"image_size": SIDE, "latent": 16} | options))


@pytest.fixture(scope="module")
def pristine():
    return make()


@pytest.fixture
def images():
    """Smooth stripes of many phases, which a short code can hold."""
    generator = torch.Generator().manual_seed(8)
    phase = 6.28 * torch.rand(6, 3, 1, 1, generator=generator)
    wave = torch.sin(torch.arange(SIDE) / 5 + phase).expand(6, 3, SIDE, SIDE)
    return 0.5 + 0.3 * wave


def test_parameter_count_matches_the_layers():
    """3→32→64→128→256→256 by 4×4 kernels, side² to the code and back, a mirror, BatchNorms."""
    for side, latent in ((2, 16), (4, 7)):
        convolutions = 16 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 256)
        code = 256 * side * side * latent
        norms = 2 * (32 + 64 + 128 + 256 + 256) + 2 * (256 + 256 + 128 + 64 + 32)
        wanted = 2 * convolutions + 2 * code + latent + 3 + norms
        model = make(image_size=32 * side, latent=latent)
        assert sum(p.numel() for p in model.trainable_parameters()) == wanted


@pytest.mark.parametrize("size", [64, 96, 160])
def test_an_image_passes_through_one_vector(size):
    model = make(image_size=size, latent=5)
    images = torch.rand(2, 3, size, size)
    assert model.encoder(images).shape == (2, 5, 1, 1)
    assert model.reconstruct(images).shape == images.shape
    assert model(images)["score"].maps.shape == (2, size, size)
    assert torch.isfinite(model.loss(batch_of(model, images[:1])))  # a single image is a batch


@pytest.mark.parametrize("loss", ["mse", "mse_ssim"])
def test_loss_is_its_formula(images, loss):
    model = make(loss=loss)
    drawn = copy.deepcopy(model).train().reconstruct(images).detach()
    assert 0 <= drawn.min() <= drawn.max() <= 1
    expected = ((images.double() - drawn.double()) ** 2).mean()
    if loss == "mse_ssim":
        expected += 1 - structural_similarity(images, drawn).mean()
    assert model.loss(batch_of(model, images)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_prediction_is_the_blurred_squared_error(model, images):
    train(model, images)
    prediction = model(images)["score"]
    with torch.no_grad():
        errors = (images - model.eval().reconstruct(images)).double().square().mean(dim=1).numpy()
    expected = np.stack([gaussian_filter(m, sigma=4) for m in errors])
    np.testing.assert_allclose(prediction.maps, expected, atol=1e-6)
    np.testing.assert_allclose(prediction.scores, expected.max(axis=(1, 2)), atol=1e-6)


def test_unseen_spot_scores_highest(model, images):
    train(model, images, steps=30)
    spotted = images.clone()
    spotted[0, :, 40:50, 10:20] = 1.0
    prediction = model(spotted)["score"]
    assert prediction.scores[0] == prediction.scores.max()
    row, column = divmod(int(prediction.maps[0].argmax()), SIDE)
    assert 38 <= row < 52
    assert 8 <= column < 22


def test_another_sizes_checkpoint_is_refused(model):
    with pytest.raises(ValueError, match=r"encoder.5.weight is \(16, 256, 3, 3\) where"):
        model.load_checkpoint(make(image_size=96).checkpoint())


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="built for images of 64x64 pixels, found 64x96"):
        model(torch.rand(1, 3, 64, 96))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "flattened"}, "Unknown loss 'flattened': choose from mse, mse_ssim"),
        ({"image_size": 100}, "multiple of 32 pixels, at least 64, found 100"),
        ({"image_size": 32}, "multiple of 32 pixels, at least 64, found 32"),
        ({"weights": "resnet18.tv_in1k"}, "no pretrained part: .* found 'resnet18.tv_in1k'"),
    ],
)
def test_invalid_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"weights": None, "state": None} | change))


def test_only_code_and_pixels_have_their_own_bias(model):
    """BatchNorm follows every other convolution and would swallow it."""
    kinds = nn.Conv2d | nn.ConvTranspose2d
    bare = [m for m in model.modules() if isinstance(m, kinds) and m.bias is not None]
    assert bare == [model.encoder[-1], model.decoder[-1]]
