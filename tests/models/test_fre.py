import copy

import numpy as np
import pytest
import torch
from model_driver import batch_of, train
from scipy.ndimage import zoom

from models.components.base import Batch
from models.fre import build

TAG = "resnet18.tv_in1k"
SIDE = 64


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights=TAG, state=None, **({"image_size": SIDE, "latent": 20} | options))


@pytest.fixture(scope="module")
def pristine():
    return make()


def residuals(model, images):
    """``(B, C, h, w)`` in float64, of the definition."""
    (layer,) = model.backbone(images)
    layer = layer.double().numpy()
    batch, channels, height, width = layer.shape
    pooled = layer.reshape(batch, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    flat = pooled.reshape(batch, -1)
    weight, into, out = (
        model.autoencoder.state_dict()[name].double().numpy()
        for name in ("weight", "encoder_bias", "decoder_bias")
    )
    return (flat - ((flat @ weight.T + into) @ weight + out)).reshape(pooled.shape)


@pytest.mark.parametrize(("image_size", "grid"), [(64, 2), (96, 3), (100, 3), (150, 5)])
def test_parameters_are_one_matrix_and_two_biases(image_size, grid):
    model = make(image_size=image_size)
    dimension = 256 * grid**2
    count = sum(p.numel() for p in model.trainable_parameters())
    assert count == dimension * 20 + dimension + 20
    assert torch.isfinite(model.loss(batch_of(model, torch.rand(1, 3, image_size, image_size))))


def test_papers_size_is_65536_by_220():
    torch.manual_seed(0)
    model = build(weights="resnet50.tv_in1k", state=None)
    assert model.autoencoder.weight.shape == (220, 65_536)


def test_loss_is_the_mean_squared_residual(model, images):
    train(model, images, lr=1e-4)
    expected = (residuals(model, images) ** 2).mean()
    assert model.loss(batch_of(model, images)).item() == pytest.approx(expected, rel=1e-4)


def test_score_is_the_sum_and_maps_the_channel_sum(model, images):
    train(model, images, lr=1e-4)
    prediction = model(images)["score"]
    errors = residuals(model, images) ** 2
    np.testing.assert_allclose(prediction.scores, errors.sum(axis=(1, 2, 3)), rtol=1e-4)
    expected = [
        zoom(m, SIDE / 2, order=1, mode="nearest", grid_mode=True) for m in errors.sum(axis=1)
    ]
    np.testing.assert_allclose(prediction.maps, np.stack(expected), rtol=1e-4)


def test_gradient_is_that_of_tied_weights(model, images):
    """By finite differences of the definition: the encoder's and the decoder's part together."""
    model.loss(batch_of(model, images)).backward()
    weight = model.autoencoder.weight
    place, step = (3, 77), 1e-3
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            moved.autoencoder.weight[place] += sign * step
        values.append((residuals(moved, images) ** 2).mean())
    assert weight.grad[place].item() == pytest.approx((values[0] - values[1]) / 2 / step, rel=0.01)


def test_unseen_features_score_highest(model):
    features = [torch.rand(8, 256, 4, 4, generator=torch.Generator().manual_seed(1))]
    optimizer = torch.optim.Adam(model.trainable_parameters(), 1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(Batch(None, features, image_size=(SIDE, SIDE))).backward()
        optimizer.step()
    odd = [features[0].clone()]
    odd[0][0, :, 2:, 2:] += 1  # the lower right of the first image
    scores = model.predict(Batch(None, odd, image_size=(SIDE, SIDE)))["score"]
    assert scores.scores[0] > 2 * scores.scores[1:].max()
    row, column = divmod(int(scores.maps[0].argmax()), SIDE)
    assert min(row, column) >= SIDE * 3 // 4 - 1


def test_another_sizes_checkpoint_is_refused(model):
    with pytest.raises(ValueError, match=r"weight is \(20, 2304\) where \(20, 1024\)"):
        model.load_checkpoint(make(image_size=96).checkpoint())


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"built for images of 64 pixels: wanted .*\(256, 4, 4\)"):
        model(torch.rand(1, 3, 96, 96))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "resnet18"}, "Unknown weights 'resnet18'"),
        ({"image_size": 16}, "wanted images of 17 pixels or more, found 16"),
    ],
)
def test_invalid_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"weights": TAG, "state": None} | change))
