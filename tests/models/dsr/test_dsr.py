"""DSR: parameters as published, phases of training, losses by their formulas, and the score."""

import model_driver as driver
import pytest
import torch
from torch.nn import functional as F

from datasets_lib.augment.random_streams import RandomStreams
from models.components.base import Batch
from models.dsr import model as dsr
from models.dsr.model import build


@pytest.fixture
def model():
    return driver.make("dsr")


def draws():
    return RandomStreams(torch.arange(2), seed=0)


@pytest.fixture
def turned(monkeypatch):
    """The shares of images that were to be turned, of which none is."""
    shares = []
    monkeypatch.setattr(
        dsr, "turn_some", lambda pictures, _, share: shares.append(share) or pictures
    )
    return shares


def has_gradient(module):
    return {parameter.grad is not None for parameter in module.parameters()}


def test_parameters_are_as_many_as_anomalib_2_7s():
    with torch.device("meta"):
        model = build(weights="dsr_vqvae.pretrained", state=None)
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    assert counts == {
        # Less two running sums of 4,096 codes, which training the VQ-VAE needs.
        "vqvae": 4_021_379 - 2 * 4096 * 128,
        "restriction_lo": 7_818_240,
        "restriction_hi": 7_818_240,
        "object_decoder": 9_418_371,
        "segmentation": 5_610_690,
        "upsampler": 5_611_842,
    }


@pytest.mark.parametrize(
    ("step", "upsampling"), [(0, False), (99, False), (100, True), (149, True)]
)
def test_last_third_of_the_steps_trains_the_upsampler_alone(model, step, upsampling):
    model.loss(Batch(driver.pictures(2, 1), step=step, steps=150)).backward()
    assert has_gradient(model.upsampler) == {upsampling}
    for part in (model.restriction_lo, model.restriction_hi, model.object_decoder):
        assert has_gradient(part) == {not upsampling}
    assert has_gradient(model.segmentation) == {not upsampling}
    assert has_gradient(model.vqvae) == {False}


@pytest.mark.parametrize("step", [0, 149])
def test_the_vqvae_stays_in_float32_under_autocast(model, step):
    seen = []
    for name, part in model.vqvae.named_modules():
        if not list(part.children()):
            part.register_forward_hook(lambda _, __, out, name=name: seen.append((name, out.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(Batch(driver.pictures(2, 1), step=step, steps=150))
    assert {name for name, _ in seen} >= {"upsample", "encoder_hi.0", "decoder.0"}
    assert [each for each in seen if each[1] != torch.float32] == []


def test_upsampler_is_trained_at_the_recipes_rate_after_the_drop(model):
    from bench.run.training.optimization import learning_rate_factor
    from models.catalog import MODELS

    recipe = MODELS["dsr"].recipes["baseline"]
    (detection, parameters), (upsampler, others) = model.parameter_groups()
    rates = {
        step: recipe.lr * learning_rate_factor(step, 1500, recipe)
        for step in (0, 799, 801, 999, 1001)
    }
    # The official code drops at 80 of 100 passes; 50 of the upsampler follow at the full rate.
    assert [detection * rates[step] for step in (0, 799, 801, 999)] == pytest.approx(
        [2e-4, 2e-4, 2e-5, 2e-5]
    )
    assert upsampler * rates[1001] == pytest.approx(2e-4)
    assert len(parameters) + len(others) == len(model.trainable_parameters())
    assert {id(p) for p in others} == {id(p) for p in model.upsampler.parameters()}


def softmax_focal(logits, masks):
    probability = logits.double().softmax(1)
    p = torch.where(masks, probability[:, 1], probability[:, 0])
    return -((1 - p) ** 2 * p.log()).mean()


def test_detection_loss_is_the_papers_sum(model, monkeypatch, turned):
    images = driver.pictures(2, 1)
    drawn = []
    original = dsr.defective_codes
    monkeypatch.setattr(
        dsr, "defective_codes", lambda *given: drawn.append(original(*given)) or drawn[0]
    )
    loss = model.loss(Batch(images, step=0, steps=3))
    (codes,) = drawn
    vqvae = model.vqvae
    lo, hi = model.restriction_lo(codes.lo), model.restriction_hi(codes.hi)
    upsampled = vqvae.upsample(vqvae.codes_lo(lo))
    restored = model.object_decoder(torch.cat((upsampled, vqvae.codes_hi(hi)), 1))
    general = vqvae.decoder(torch.cat((vqvae.upsample(codes.lo), codes.hi), 1))
    logits = model.segmentation(torch.cat((restored, general), 1))
    clean_lo, clean_hi = vqvae.encode(images)
    wanted = F.mse_loss(lo, clean_lo) + F.mse_loss(hi, clean_hi)
    wanted = wanted + 10 * F.mse_loss(restored, images) + softmax_focal(logits, codes.masks)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert turned == [0.4]


def test_upsampler_loss_is_the_focal_loss_of_raw_logits(model, monkeypatch, turned):
    images, masks = driver.pictures(2, 1), torch.rand(2, 64, 64) < 0.2
    monkeypatch.setattr(dsr, "smudged", lambda pictures, _: (pictures, masks))
    loss = model.loss(Batch(images, step=2, steps=3))
    with torch.no_grad():
        pictures, logits = model._segment(*model.vqvae.encode(images))
        upsampled = model.upsampler(torch.cat((pictures, logits.softmax(1)), 1))
    assert loss.item() == pytest.approx(softmax_focal(upsampled, masks).item(), rel=1e-5)
    assert turned == [0.3]


def test_map_is_upsampled_and_the_score_is_not(model):
    images = driver.pictures(2, 1)
    prediction = driver.predict(model, images)["score"]
    with torch.no_grad():
        pictures, logits = model._segment(*model.vqvae.encode(images))
        upsampled = model.upsampler(torch.cat((pictures, logits.softmax(1)), 1))
    torch.testing.assert_close(prediction.maps, upsampled.softmax(1)[:, 1])
    pooled = F.avg_pool2d(logits.softmax(1)[:, 1:], 21, 1, 10)
    torch.testing.assert_close(prediction.scores, pooled.amax((1, 2, 3)))


@pytest.mark.parametrize("size", [(32, 64), (72, 72)])
def test_images_of_unfit_sizes_are_refused(model, size):
    with pytest.raises(ValueError, match="multiple of 32"):
        driver.predict(model, driver.pictures(1, 0, size))


def test_another_networks_weights_are_refused():
    with pytest.raises(ValueError, match="found 'resnet18"):
        build(weights="resnet18.tv_in1k", state=None)


@pytest.mark.parametrize("step", [0, 100])
def test_autocast_does_not_reach_the_frozen_network(model, step):
    seen = []
    for part in (model.vqvae.encoder_hi, model.vqvae.decoder):
        part.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    batch = Batch(driver.pictures(2, 1), draws=draws(), step=step, steps=150)
    model.loss(batch)
    exact = list(seen)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(batch)
    assert len(seen) == len(exact) > 1
    for found, wanted in zip(seen, exact, strict=True):
        assert found.dtype == torch.float32
        if step == 0:  # later, the decoder also decodes what trained networks restored
            assert torch.equal(found, wanted)
