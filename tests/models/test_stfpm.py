import copy

import numpy as np
import pytest
import timm
import torch
from model_driver import batch_of, train
from scipy.ndimage import zoom
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.stfpm import build, distance_maps

TAG = "resnet18.tv_in1k"


def make(seed=0):
    torch.manual_seed(seed)
    return build(weights=TAG, state=None)


@pytest.fixture(scope="module")
def pristine():
    return make()


def layers(model, images):
    """Unit features of teacher and student in the model's current mode, in float64."""
    entry = WEIGHTS[TAG]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (entry.mean, entry.std))
    with torch.no_grad():
        pairs = zip(model.backbone(images), model.student((images - mean) / std), strict=True)
    for pair in pairs:
        yield [
            x / np.sqrt((x**2).sum(axis=1, keepdims=True))
            for x in (features.double().numpy() for features in pair)
        ]


def test_student_is_the_teachers_architecture_up_to_its_third_layer(model):
    whole = dict(timm.create_model("resnet18").named_parameters())
    wanted = {n: p.shape for n, p in whole.items() if not n.startswith(("layer4", "fc"))}
    assert {n: p.shape for n, p in model.student.named_parameters()} == wanted
    assert sum(p.numel() for p in model.trainable_parameters()) == 2_782_784  # 11,689,512 whole


def test_loss_is_the_official_codes_without_the_papers_half(model, images):
    model.train()
    expected = 0.0
    for teacher, student in layers(copy.deepcopy(model), images):
        batch, _, height, width = teacher.shape
        expected += ((teacher - student) ** 2).sum() / (height * width) / batch
    assert model.loss(batch_of(model, images)).item() == pytest.approx(expected, rel=1e-5)


def test_maps_are_the_product_at_the_first_layers_grid(model, images):
    train(model, images)
    prediction = model(images)["score"]
    product = np.ones((3, 16, 16))
    for teacher, student in layers(model.eval(), images):
        distance = ((teacher - student) ** 2).sum(axis=1) / 2
        product *= enlarged(distance, 16)
    expected = enlarged(product, 64)
    np.testing.assert_allclose(prediction.maps.numpy(), expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(prediction.scores.numpy(), expected.max(axis=(1, 2)), rtol=1e-3)


def enlarged(maps, side):
    """Bilinear enlargement by SciPy; ``nearest`` repeats the border as torch does."""
    factor = side / maps.shape[1]
    return np.stack([zoom(m, factor, order=1, mode="nearest", grid_mode=True) for m in maps])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("resnet18", "Unknown weights 'resnet18'"),
        ("convnext_tiny.tv_in1k", "wanted a ResNet's weights, found convnext_tiny's"),
    ],
)
def test_weights_it_cannot_use_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        build(weights=weights, state=None)


def test_images_need_not_be_square_nor_multiples(model):
    assert model(torch.rand(1, 3, 64, 90))["score"].maps.shape == (1, 64, 90)


def test_equal_features_have_no_distance(model, images):
    features = model.backbone(images)
    (nothing, *_) = distance_maps(features, features)
    assert nothing.abs().max() == 0
    (opposite, *_) = distance_maps(features, [-layer for layer in features])
    seen = F.normalize(features[0]).square().sum(1) > 0.5  # where not every channel is zero
    torch.testing.assert_close(opposite[seen], torch.full_like(opposite[seen], 2.0))
