"""EfficientAD against float64 re-derivations of the paper's algorithms 1 and 2."""

import copy

import numpy as np
import pytest
import torch
from model_driver import batch_of, calibrate, evaluation, gather
from scipy.ndimage import zoom
from torch.nn import functional as F

from models.components.base import Batch
from models.efficientad import model as efficientad
from models.efficientad.autoencoder import Autoencoder
from models.efficientad.model import build

MEAN = np.array([0.485, 0.456, 0.406])[:, None, None]
STD = np.array([0.229, 0.224, 0.225])[:, None, None]


def pictures(count, seed=0, side=48):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def make(seed=0, size="small"):
    torch.manual_seed(seed)
    return build(weights=f"pdn_{size}.distilled", state=None, size=size)


@pytest.fixture(scope="module")
def pristine():
    return gather(make(), pictures(4), 4)


@pytest.fixture
def calibrated(model):
    calibrate(model, pictures(3, seed=1))
    return model


def train(model, steps=3, seed=5):
    model.train()
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.trainable_parameters(), 1e-3)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, pictures(1, seed=step % 2), pictures(1, seed=9))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def loss_of(model, images, others):
    return model.train().loss(Batch(images, auxiliary=others))


def networks_of(model, images):
    """float64 teacher's, student's and autoencoder's outputs, of networks in float64."""
    exact = copy.deepcopy(model).double().eval()
    normalized = torch.from_numpy((images.double().numpy() - MEAN) / STD)
    with torch.no_grad():
        taught = exact.teacher(normalized)
        student = exact.student(normalized)
        rebuilt = exact.autoencoder(normalized, taught.shape[-2:])
    return taught.numpy(), student.numpy(), rebuilt.numpy()


def normalized_teacher(taught, training):
    """By mean and standard deviation over training features."""
    mean = training.mean(axis=(0, 2, 3), keepdims=True)
    return (taught - mean) / training.std(axis=(0, 2, 3), keepdims=True)


def maps_of(model, images):
    """Both maps before their normalization, ``(B, h, w)``."""
    taught, student, rebuilt = networks_of(model, images)
    taught = normalized_teacher(taught, networks_of(model, pictures(4))[0])
    return (
        ((taught - student[:, :384]) ** 2).mean(axis=1),
        ((rebuilt - student[:, 384:]) ** 2).mean(axis=1),
    )


def test_prediction_is_the_formula(calibrated):
    train(calibrated)
    held_out, images = [pictures(3, seed=1), pictures(2, seed=2)], pictures(2, seed=3)
    with evaluation(calibrated):
        calibrated.calibrate([Batch(batch) for batch in held_out])
    found = calibrated(images)["score"]
    calibration = zip(*(maps_of(calibrated, batch) for batch in held_out), strict=True)
    combined = 0
    for one, batches in zip(maps_of(calibrated, images), calibration, strict=True):
        pixels = np.concatenate([batch.ravel() for batch in batches])
        start, end = np.quantile(pixels, 0.9), np.quantile(pixels, 0.995)
        combined = combined + 0.5 * 0.1 * (one - start) / (end - start)
    padded = np.pad(combined, ((0, 0), (4, 4), (4, 4)))
    large = np.stack([zoom(one, 4, order=1, grid_mode=True, mode="nearest") for one in padded])
    np.testing.assert_allclose(found.maps.numpy(), large, atol=2e-4)
    np.testing.assert_allclose(found.scores.numpy(), large.max(axis=(1, 2)), atol=2e-4)
    assert found.maps.dtype == found.scores.dtype == torch.float32


def test_loss_is_the_formula(model, monkeypatch):
    monkeypatch.setattr("models.efficientad.autoencoder._DROPOUT", 0.0)
    images, others, changed = pictures(2, seed=3), pictures(2, seed=9), pictures(2, seed=4)
    monkeypatch.setattr(efficientad, "jitter", lambda given, draws: changed)
    gray = []
    monkeypatch.setattr(
        efficientad, "random_grayscale", lambda given, _, share: gray.append(share) or given
    )
    training = networks_of(model, pictures(4))[0]
    taught, student, _ = networks_of(model, images)
    distance = (normalized_teacher(taught, training) - student[:, :384]) ** 2
    hard = distance[distance >= np.quantile(distance, 0.999)].mean()
    penalty = (networks_of(model, others)[1][:, :384] ** 2).mean()
    taught, student, rebuilt = networks_of(model, changed)
    taught = normalized_teacher(taught, training)
    both = ((taught - rebuilt) ** 2).mean() + ((rebuilt - student[:, 384:]) ** 2).mean()
    assert loss_of(model, images, others).item() == pytest.approx(hard + penalty + both, rel=1e-4)
    assert model.loss(batch_of(model, images)).item() == pytest.approx(hard + both, rel=1e-4)
    assert gray == [0.3]  # and none without auxiliary images


def test_statistics_do_not_depend_on_the_batches(pristine):
    model = make()
    for image in pictures(4):
        model.update(batch_of(model, image[None]))
    model.compute()
    torch.testing.assert_close(model.statistics, pristine.statistics)
    exact = networks_of(pristine, pictures(4))[0]
    np.testing.assert_allclose(pristine.statistics[0], exact.mean(axis=(0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(pristine.statistics[1], exact.std(axis=(0, 2, 3)), rtol=1e-4)


def test_the_autoencoder_learns_from_the_teacher_and_the_student(model):
    """The student's echo of it also affects its gradient, as in the paper's sum of losses."""
    torch.manual_seed(0)
    loss_of(model, pictures(1), pictures(1, seed=9)).backward()
    gradient = model.autoencoder.out.weight.grad.clone()
    model.zero_grad()
    torch.manual_seed(0)
    with torch.no_grad():
        model.student.conv4.bias[384:] += 1  # its echo, and nothing else
    loss_of(model, pictures(1), pictures(1, seed=9)).backward()
    assert not torch.allclose(gradient, model.autoencoder.out.weight.grad)


def test_maps_that_are_the_same_everywhere_give_no_nan(model):
    calibrate(model, torch.full((1, 3, 48, 48), 0.5))
    model.quantiles = model.quantiles[:, :1].repeat(1, 2)
    assert model(pictures(1))["score"].maps.isfinite().all()


@pytest.mark.parametrize("shape", [(33, 33), (40, 64), (100, 72)])
def test_sizes_down_to_one_patch(model, shape):
    images = torch.rand(1, 3, *shape)
    model.loss(batch_of(model, images)).backward()
    calibrate(model, images)
    assert model(images)["score"].maps.shape == (1, *shape)


def test_images_smaller_than_a_patch_are_refused(model):
    with pytest.raises(
        ValueError, match="33×33 pixels: wanted images of at least that size, found"
    ):
        model.loss(batch_of(model, torch.rand(1, 3, 32, 64)))


def test_the_autoencoder_is_the_papers_at_256_pixels(monkeypatch):
    sizes = []
    plain = F.interpolate

    def noting(x, size, **options):
        sizes.append(tuple(size))
        return plain(x, size=size, **options)

    monkeypatch.setattr("models.efficientad.autoencoder.F.interpolate", noting)
    autoencoder = Autoencoder(384)
    with torch.no_grad():
        assert autoencoder(torch.zeros(1, 3, 256, 256), (56, 56)).shape == (1, 384, 56, 56)
    assert sizes == [(side, side) for side in (3, 8, 15, 32, 63, 127, 56)]
    # The table: kernel, input and output channels of the encoder's and the decoder's convolutions.
    table = [(4, 3, 32), (4, 32, 32), (4, 32, 64), (4, 64, 64), (4, 64, 64), (8, 64, 64)]
    table += [(4, 64, 64)] * 6 + [(3, 64, 64), (3, 64, 384)]
    wanted = sum((kernel**2 * before + 1) * after for kernel, before, after in table)
    assert sum(parameter.numel() for parameter in autoencoder.parameters()) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "large"}, "Unknown size 'large': choose from small, medium"),
        ({"size": "medium"}, "wanted weights of a pdn_medium, such as pdn_medium.distilled"),
        ({"weights": "resnet18.tv_in1k"}, "found 'resnet18.tv_in1k'"),
        ({"weights": None}, "found 'None'"),
    ],
)
def test_unknown_names_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"weights": "pdn_small.distilled", "state": None, "size": "small"} | change))
