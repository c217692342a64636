import numpy as np
import pytest
import torch
from model_driver import batch_of, gather, train
from scipy.ndimage import gaussian_filter, uniform_filter, zoom

from models import cfa
from models.cfa import CoordConv, build, nearest, squared_distances

TAG = "resnet18.tv_in1k"
SIDE = 64
CHANNELS = 64 + 128 + 256


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights=TAG, state=None, **options)


@pytest.fixture(scope="module")
def pristine():
    return make()


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))


@pytest.fixture
def fitted(model, images):
    return gather(model, images)


def descriptors(model, images):
    """``(B, h · w, D)`` in float64: pool, enlarge, concatenate, 1×1 CoordConv."""
    layers = [layer.double().numpy() for layer in model.backbone(images)]
    grid = layers[0].shape[-1]
    patches = []
    for layer in layers:
        pooled = uniform_filter(layer, size=3, mode="constant", axes=(2, 3))
        factor = grid / layer.shape[-1]
        patches.append(
            zoom(pooled, (1, 1, factor, factor), order=1, mode="nearest", grid_mode=True)
        )
    rows, columns = np.meshgrid(*[np.linspace(-1, 1, grid)] * 2, indexing="ij")
    places = np.broadcast_to(np.stack([rows, columns]), (len(images), 2, grid, grid))
    stacked = np.concatenate([*patches, places], axis=1)
    conv = model.descriptor.conv
    weight = conv.weight.detach().double().numpy()[:, :, 0, 0]
    described = np.einsum("oc,bchw->bhwo", weight, stacked) + conv.bias.detach().double().numpy()
    return described.reshape(len(images), grid * grid, -1)


def distances(points, bank):
    """``(B, T, M)`` squared distances in float64, ascending."""
    bank = bank.double().numpy()
    squared = [(p**2).sum(1)[:, None] - 2 * p @ bank.T + (bank**2).sum(1)[None] for p in points]
    return np.sort(np.stack(squared), axis=-1)


def test_memory_bank_is_the_mean_descriptor_of_each_position(fitted, images):
    expected = descriptors(fitted, images).mean(axis=0)
    assert expected.shape == (256, CHANNELS)
    np.testing.assert_allclose(fitted.memory_bank.numpy(), expected, atol=1e-4)


def test_memory_bank_does_not_depend_on_the_batches(fitted, images):
    whole = gather(make(), images, 5)
    torch.testing.assert_close(fitted.memory_bank, whole.memory_bank, atol=1e-5, rtol=0)


@pytest.mark.parametrize("radius", [1e-5, 0.8, 1.2])
def test_loss_is_the_papers_formula(fitted, images, radius):
    """At a small radius patches are drawn in alone, at a large one pushed out as well."""
    with torch.no_grad():
        fitted.descriptor.conv.weight.mul_(1.02)
        fitted.descriptor.conv.weight[:3].mul_(3)
        scale = distances(descriptors(fitted, images), fitted.memory_bank)[..., :6].mean() ** 0.5
        fitted.radius.fill_(radius * scale)
    squared = distances(descriptors(fitted, images), fitted.memory_bank)
    sphere = fitted.radius.item() ** 2
    attraction = np.maximum(0, squared[..., :3] - sphere).mean()
    repulsion = np.maximum(0, sphere - squared[..., 3:6] - 0.1).mean()
    assert (repulsion > 0) == (radius > 0.1)
    assert fitted.loss(batch_of(fitted, images)).item() == pytest.approx(
        attraction + repulsion, rel=1e-3
    )


def test_loss_is_computed_in_float32_under_autocast(fitted, images):
    batch = batch_of(fitted, images)
    exact = fitted.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fitted.loss(batch), exact)


def test_prediction_is_the_papers_formula(fitted, images):
    train(fitted, images, lr=1e-4)
    prediction = fitted(images)["score"]
    distance = np.sqrt(distances(descriptors(fitted, images), fitted.memory_bank)[..., :3])
    certainty = np.exp(-distance[..., 0]) / np.exp(-distance).sum(axis=-1)
    small = (certainty * distance[..., 0]).reshape(5, 16, 16)
    large = zoom(small, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    expected = np.stack([gaussian_filter(m, sigma=4) for m in large])
    np.testing.assert_allclose(prediction.maps, expected, rtol=1e-3)
    np.testing.assert_allclose(prediction.scores, expected.max(axis=(1, 2)), rtol=1e-3)


def test_gradient_is_that_of_the_plain_formula(fitted, images):
    """Autograd through all distances, as one would write them, against what is kept sparse."""
    with torch.no_grad():
        fitted.radius.fill_(1.0)
    fitted.loss(batch_of(fitted, images[:1])).backward()
    ours = [p.grad.clone() for p in fitted.trainable_parameters()]
    fitted.zero_grad()
    points = fitted._descriptors(fitted.backbone(images[:1]))
    squared = (points[:, :, None] - fitted.memory_bank).square().sum(-1)
    squared = squared.topk(6, largest=False).values
    sphere = fitted.radius.square()
    loss = (squared[..., :3] - sphere).relu().mean()
    (loss + (sphere - squared[..., 3:] - 0.1).relu().mean()).backward()
    for mine, parameter in zip(ours, fitted.trainable_parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, atol=1e-5, rtol=1e-3)
        assert mine.abs().max() > 0


def test_parameters_are_one_convolution_and_the_radius(model):
    count = sum(p.numel() for p in model.trainable_parameters())
    assert count == CHANNELS * (CHANNELS + 2) + CHANNELS + 1


def test_images_need_not_be_square(model):
    images = torch.rand(2, 3, 64, 96)
    assert gather(model, images)(images)["score"].maps.shape == (2, 64, 96)


def test_images_of_two_sizes_are_refused(model, images):
    model.update(batch_of(model, images))
    with pytest.raises(
        ValueError, match=r"images of one size, found .*\(24, 24\) after \(16, 16\)"
    ):
        model.update(batch_of(model, torch.rand(1, 3, 96, 96)))


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="Unknown weights 'resnet18'"):
        build(weights="resnet18", state=None)


def test_neighbors_far_from_the_origin_are_found_exactly():
    generator = torch.Generator().manual_seed(2)
    offset = 300.0
    centers = torch.randn(500, 16, generator=generator) + offset
    points = torch.randn(200, 16, generator=generator) + offset
    exact = torch.cdist(points.double(), centers.double()).topk(6, largest=False)
    chosen = nearest(points, centers, 6)
    assert (chosen == exact.indices).float().mean() > 0.995
    squared = squared_distances(points, centers, chosen)
    torch.testing.assert_close(squared.double(), exact.values.square(), atol=0, rtol=1e-4)


def test_squared_distances_have_the_gradient_of_their_points():
    points = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    centers, chosen = torch.randn(9, 4, dtype=torch.float64), torch.randint(9, (7, 3))
    assert torch.autograd.gradcheck(lambda x: squared_distances(x, centers, chosen), points)


def test_coord_conv_tells_positions_apart():
    torch.manual_seed(0)
    layers = [torch.ones(1, 3, 8, 8), torch.ones(1, 5, 4, 4)]
    described = CoordConv([3, 5], outputs=6)(layers)
    assert described.shape == (1, 8, 8, 6)
    assert len(described.flatten(0, 2).round(decimals=4).unique(dim=0)) == 64


def test_nearest_centers_in_parts_are_those_at_once(monkeypatch):
    torch.manual_seed(0)
    points, centers = torch.randn(37, 5), torch.randn(20, 5)
    whole = nearest(points, centers, 3)
    assert torch.equal(whole, torch.cdist(points, centers).topk(3, largest=False).indices)
    monkeypatch.setattr(cfa, "_AT_ONCE", 160)  # parts of 8 points
    assert torch.equal(nearest(points, centers, 3), whole)
