import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter, zoom

from models.cfa import build
from models.components.base import FeatureModel, GradientAnomalyModel, StatisticalModel
from models.components.coord_conv import CoordConv
from models.components.k_means import k_means
from models.components.nearest_centers import nearest, squared_distances

TAG = "resnet18.tv_in1k"
SIDE = 64
CHANNELS = 64 + 128 + 256


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights=TAG, state=None, **options)


@pytest.fixture(scope="module")
def pristine():
    return make()


@pytest.fixture
def model(pristine):
    return copy.deepcopy(pristine)


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))


@pytest.fixture
def fitted(model, images):
    return fit(model, images)


@torch.no_grad()
def fit(model, images, batch=2):
    for part in images.split(batch):
        model.update(part)
    model.compute()
    return model


def train(model, images, steps=2, lr=1e-4):
    optimizer = torch.optim.AdamW(model.trainable_parameters(), lr, amsgrad=True)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.loss(images)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def tensors(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


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


def test_offers_the_interface(model):
    for protocol in (GradientAnomalyModel, StatisticalModel, FeatureModel):
        assert isinstance(model, protocol)


def test_one_seed_gives_equal_models(fitted, images):
    again, other = fit(make(seed=0), images), make(seed=1)
    for name, tensor in fitted.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(fitted.descriptor.conv.weight, other.descriptor.conv.weight)


def test_memory_bank_is_the_mean_descriptor_of_each_position(fitted, images):
    expected = descriptors(fitted, images).mean(axis=0)
    assert expected.shape == (256, CHANNELS)
    np.testing.assert_allclose(fitted.memory_bank.numpy(), expected, atol=1e-4)


def test_memory_bank_does_not_depend_on_the_batches(fitted, images):
    whole = fit(make(), images, batch=5)
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
    assert fitted.loss(images).item() == pytest.approx(attraction + repulsion, rel=1e-3)


def test_prediction_is_the_papers_formula(fitted, images):
    train(fitted, images)
    prediction = fitted.predict(images)["score"]
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
    fitted.loss(images[:1]).backward()
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


def test_training_lowers_the_loss_and_leaves_backbone_and_bank_alone(fitted, images):
    before = tensors(fitted)
    losses = train(fitted, images, steps=20)
    assert losses[-1] < 0.95 * losses[0]
    for name, tensor in fitted.state_dict().items():
        moved = name.startswith(("descriptor", "radius"))
        assert torch.equal(tensor, before[name]) != moved, name
    with_gradient = [p for p in fitted.parameters() if p.grad is not None]
    assert {id(p) for p in with_gradient} == {id(p) for p in fitted.trainable_parameters()}


def test_features_stay_as_they_are(model, images):
    features = model.backbone(images)
    kept = [layer.clone() for layer in features]
    model.update_features(features)
    model.compute()
    model.loss_of_features(features)
    model.predict_of_features(features, (SIDE, SIDE))
    assert all(torch.equal(a, b) for a, b in zip(features, kept, strict=True))


def test_score_does_not_depend_on_the_batch(fitted, images):
    together = fitted.predict(images)["score"].scores
    alone = torch.cat([fitted.predict(image[None])["score"].scores for image in images])
    torch.testing.assert_close(together, alone, atol=0, rtol=1e-4)


def test_images_need_not_be_square(model):
    images = torch.rand(2, 3, 64, 96)
    assert fit(model, images).predict(images)["score"].maps.shape == (2, 64, 96)


def test_autocast_leaves_it_in_float32(fitted, images):
    features = fitted.backbone(images)
    with torch.autocast("cpu", torch.bfloat16):
        loss = fitted.loss_of_features(features)
        maps = fitted.predict_of_features(features, (SIDE, SIDE))["score"].maps
    assert loss.item() == fitted.loss_of_features(features).item()
    assert torch.equal(maps, fitted.predict_of_features(features, (SIDE, SIDE))["score"].maps)


def test_compression_clusters_the_memory_bank(fitted, images):
    small, again = (fit(make(compression=8), images) for _ in range(2))
    assert small.memory_bank.shape == (32, CHANNELS)
    assert torch.equal(small.memory_bank, again.memory_bank)
    spread = distances([fitted.memory_bank.double().numpy()], small.memory_bank)[0, :, 0].mean()
    drawn = fitted.memory_bank[torch.randperm(256)[:32]]
    assert spread < 0.8 * distances([fitted.memory_bank.double().numpy()], drawn)[0, :, 0].mean()
    squared = distances(descriptors(small, images), small.memory_bank)
    assert small.loss(images).item() == pytest.approx(squared[..., :3].mean(), rel=1e-3)


def test_saved_and_loaded_model_predicts_the_same(fitted, images, tmp_path):
    train(fitted, images)
    torch.save(fitted.checkpoint(), tmp_path / "model.pth")
    again = make(seed=1)
    again.backbone = fitted.backbone
    again.load_checkpoint(torch.load(tmp_path / "model.pth", weights_only=True))
    assert torch.equal(fitted.predict(images)["score"].maps, again.predict(images)["score"].maps)
    assert again.radius.item() == fitted.radius.item() != 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory_bank": torch.zeros(9, 5)}, r"channels = 448\), found \(9, 5\)"),
        ({"memory_bank": None}, "wanted a tensor 'memory_bank'"),
        ({"radius": torch.zeros(2)}, r"'radius' of shape \(\), found \(2,\)"),
        ({"descriptor": {}}, "its 'descriptor' lacks 'conv.weight', 'conv.bias'"),
    ],
)
def test_another_models_checkpoint_is_refused(fitted, change, message):
    before = tensors(fitted)
    with pytest.raises(ValueError, match=message):
        fitted.load_checkpoint(fitted.checkpoint() | change)
    for name, tensor in fitted.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_nothing_works_before_the_memory_bank_is_there(model, images):
    for use in (model.predict, model.loss, lambda _: model.checkpoint()):
        with pytest.raises(RuntimeError, match="no memory bank yet: absorb the training images"):
            use(images)
    with pytest.raises(RuntimeError, match="absorb some before"):
        model.compute()


def test_images_of_two_sizes_are_refused(model, images):
    model.update(images)
    with pytest.raises(
        ValueError, match=r"images of one size, found .*\(24, 24\) after \(16, 16\)"
    ):
        model.update(torch.rand(1, 3, 96, 96))


def test_a_bank_too_small_for_the_loss_is_refused(images):
    with pytest.raises(ValueError, match="found 256 positions compressed to 5"):
        fit(make(compression=50), images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "resnet18"}, "Unknown weights 'resnet18'"),
        ({"compression": 0}, "wanted 1 or more, found 0"),
    ],
)
def test_what_cannot_be_built_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"weights": TAG, "state": None} | change))


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


def test_k_means_finds_separate_clusters_and_keeps_empty_ones():
    middles = 10 * torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    points = (middles[:, None] + torch.randn(4, 30, 2)).flatten(0, 1)
    torch.manual_seed(0)
    centers = k_means(points, 12)
    assert centers.shape == (12, 2)
    assert torch.isfinite(centers).all()
    # Converged: every center with members is their mean.
    members = torch.cdist(points, centers).argmin(dim=1)
    for number in members.unique():
        torch.testing.assert_close(
            centers[number], points[members == number].mean(dim=0), atol=1e-4, rtol=0
        )
    assert k_means(torch.zeros(6, 2), 3).abs().max() == 0


def test_coord_conv_tells_positions_apart():
    torch.manual_seed(0)
    layers = [torch.ones(1, 3, 8, 8), torch.ones(1, 5, 4, 4)]
    described = CoordConv([3, 5], outputs=6)(layers)
    assert described.shape == (1, 8, 8, 6)
    assert len(described.flatten(0, 2).round(decimals=4).unique(dim=0)) == 64
