import copy

import numpy as np
import pytest
import torch
from model_driver import batch_of, gather
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.catalog import MODELS
from models.padim import build

SIZE = (64, 48)
GRID = (16, 12)
FEW, MANY = 7, 20  # fewer and more images than channels
CHANNELS = 12


def make(seed=0, channels=CHANNELS):
    torch.manual_seed(seed)
    return build(weights="resnet18.tv_in1k", state=None, channels=channels)


def pictures(count, seed):
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[FEW, MANY])
def trained(request):
    images = pictures(request.param, seed=1)
    return gather(make(), images, 8), images


@pytest.fixture(scope="module")
def images():
    return pictures(3, seed=2)


def embedding(model, images):
    """``(B, C, H, W)`` float64: all channels enlarged and concatenated, then the drawn ones."""
    features = [F.interpolate(f, GRID, mode="nearest") for f in model.backbone(images)]
    return torch.cat(features, dim=1)[:, model.channels].double().numpy()


def test_prediction_matches_the_papers_equations(trained, images):
    model, train = trained
    x, y = embedding(model, train), embedding(model, images)
    distances = np.empty((len(images), *GRID))
    for i, j in np.ndindex(GRID):
        covariance = np.cov(x[:, :, i, j], rowvar=False) + 0.01 * np.eye(CHANNELS)
        delta = y[:, :, i, j] - x[:, :, i, j].mean(axis=0)
        squares = np.einsum("bi,ij,bj->b", delta, np.linalg.inv(covariance), delta)
        distances[:, i, j] = np.sqrt(squares)
    large = F.interpolate(torch.from_numpy(distances)[:, None], SIZE, mode="bilinear")[:, 0]
    maps = np.stack([gaussian_filter(one, sigma=4) for one in large.numpy()])
    prediction = model(images)["score"]
    assert prediction.maps.dtype == prediction.scores.dtype == torch.float32
    np.testing.assert_allclose(prediction.maps.numpy(), maps, rtol=1e-4)
    np.testing.assert_allclose(prediction.scores.numpy(), maps.max(axis=(1, 2)), rtol=1e-4)


def test_layers_of_odd_sides_are_upsampled_by_nearest_neighbor():
    model = make()
    train, test = (
        torch.rand(n, 3, 72, 100, generator=torch.Generator().manual_seed(n)) for n in (5, 2)
    )
    gather(model, train, 8)
    features = model.backbone(test)
    assert [tuple(f.shape[2:]) for f in features] == [(18, 25), (9, 13), (5, 7)]
    large = [F.interpolate(f, (18, 25), mode="nearest") for f in features]
    drawn = torch.cat(large, dim=1)[:, model.channels].permute(2, 3, 0, 1).flatten(0, 1)
    distances = model.gaussians.distances(drawn.__getitem__)
    maps = model(test)["score"].maps
    blurred = [
        gaussian_filter(one.double().numpy(), sigma=4)
        for one in F.interpolate(distances.T.reshape(2, 1, 18, 25), (72, 100), mode="bilinear")[
            :, 0
        ]
    ]
    np.testing.assert_allclose(maps.numpy(), np.stack(blurred), rtol=1e-4)


class NoWaiting(TorchDispatchMode):
    """Refuses what waits for a device: numbers read back, and indices of unknown length."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        assert "_local_scalar_dense" not in str(function)
        assert "nonzero" not in str(function)
        if function is torch.ops.aten.index.Tensor:
            assert all(index is None or index.dtype != torch.bool for index in arguments[1])
        return function(*arguments, **(options or {}))


def test_statistics_and_predictions_never_wait_for_the_device(images):
    model = make()
    with torch.no_grad(), NoWaiting():
        model.update(batch_of(model, images))
    model.compute()
    with torch.no_grad(), NoWaiting():
        model.predict(batch_of(model, images))


def test_a_checkpoint_brings_channels_of_its_own(trained, images):
    model, other = trained[0], make(seed=1)
    other.backbone = model.backbone
    assert other._bounds != model._bounds
    other.load_checkpoint(model.checkpoint())
    assert torch.equal(other(images)["score"].maps, model(images)["score"].maps)


def test_channels_are_drawn_after_the_backbone():
    first, again, other = make(), make(), make(seed=1)
    assert torch.equal(first.channels, again.channels)
    assert not torch.equal(first.channels, other.channels)
    assert len(set(first.channels.tolist())) == CHANNELS
    more = make(channels=40)
    for name, tensor in first.backbone.state_dict().items():
        assert torch.equal(tensor, more.backbone.state_dict()[name]), name


def test_all_channels_can_be_used():
    assert torch.equal(make(channels=448).channels, torch.arange(448))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": torch.arange(11)}, r"channels is \(11,\) where \(12,\)"),
        ({"gaussians.mean": torch.zeros(192, 13)}, r"\(192, 13\) where \(positions = 192, 12\)"),
        ({"gaussians.whitening": torch.zeros(9, 12, 12)}, r"where \(positions = 192, rows"),
        ({"grid": torch.zeros(16, 13, 0)}, r"grid is \(16, 13\) .* has 192 positions"),
        ({"channels": torch.arange(437, 449)}, "channels go up to 448"),
    ],
)
def test_another_models_checkpoint_is_refused(trained, change, message):
    model = copy.deepcopy(trained[0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        model.load_checkpoint(model.checkpoint() | change)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_images_of_another_size_are_refused(trained):
    model, _ = trained
    with pytest.raises(ValueError, match=r"\(16, 12\) as in training, found \(8, 8\)"):
        model(torch.rand(1, 3, 32, 32))
    fresh = make()
    fresh.update(batch_of(fresh, pictures(2, 1)))
    with pytest.raises(ValueError, match=r"\(16, 12\) as in training, found \(12, 16\)"):
        fresh.update(batch_of(fresh, pictures(2, 1).mT))


@pytest.mark.parametrize("channels", [0, -1, 449])
def test_channels_that_are_not_there_are_refused(channels):
    with pytest.raises(ValueError, match=f"wanted 1 to 448, found {channels}"):
        make(channels=channels)


def test_it_is_built_without_data():
    entry = MODELS["padim_resnet18"]
    with torch.device("meta"):
        model = entry.load_build()(weights=entry.weights, state=None, **entry.options)
    assert model.backbone.mean.is_meta
    assert len(model.channels.unique()) == 100
