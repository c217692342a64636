"""FastFlow against the published numbers of parameters and the change of variables."""

import model_driver as driver
import pytest
import torch

from models.catalog import MODELS


def on_meta(name, **options):
    entry = MODELS[name]
    with torch.device("meta"):
        return entry.load_build()(
            weights=entry.weights,
            state=None,
            **{**entry.options, "image_size": entry.image_size, **options},
        )


def count(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("fastflow", 41.3),
        ("fastflow_resnet50", 41.3),
        ("fastflow_cait", 7.1),
        ("fastflow_deit", 7.1),
    ],
)
def test_flows_have_the_published_number_of_parameters(name, millions):
    # Yu et al., Table 2: 41.3 M for wide_resnet50_2. For transformers, by hand: 10 blocks of 3×3
    # and 10 of 1×1 kernels, each 384 -> 61 -> 768 channels with biases, scale and offset.
    by_hand = 10 * (9 + 1) * (384 * 61 + 61 * 768) + 20 * (61 + 3 * 768)
    found = count(on_meta(name).flows)
    assert found / 1e6 == pytest.approx(millions, abs=0.06)
    if millions == 7.1:
        assert found == by_hand


def test_resnet18_has_3x3_kernels_alone_and_a_norm_per_layer():
    model = on_meta("fastflow_resnet18")
    kernels = {c.kernel_size for c in model.flows.modules() if isinstance(c, torch.nn.Conv2d)}
    assert kernels == {(3, 3)}
    assert [norm.weight.shape for norm in model.norms.norms] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
    ]


@pytest.mark.parametrize(
    ("name", "shape"), [("fastflow_cait", (768, 28, 28)), ("fastflow_deit", (768, 24, 24))]
)
def test_transformers_are_tapped_at_the_papers_blocks(name, shape):
    model = on_meta(name)
    assert model.backbone.shapes((MODELS[name].image_size,) * 2) == [shape]
    assert len(model.backbone.backbone.blocks) == MODELS[name].layers[0] + 1
    assert model.norms is None


def test_transformers_last_norm_is_applied():
    model = driver.make("fastflow_deit")
    (features,) = model.backbone(driver.pictures(2, 0))
    # A random network's last LayerNorm has no scale and offset yet.
    torch.testing.assert_close(features.mean(1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        features.var(1, correction=0), torch.ones(2, 4, 4), atol=1e-3, rtol=0
    )


def test_scores_of_other_images_rise_when_trained():
    model = driver.make("fastflow_deit")
    normal, other = driver.pictures(4, 1), driver.pictures(4, 1) * torch.linspace(0, 1, 64)
    driver.train(model, normal, steps=30)
    assert driver.predict(model, other)["score"].scores.min() > (
        driver.predict(model, normal)["score"].scores.max()
    )
