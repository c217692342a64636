"""DRAEM: parameters as published, the loss against its formula, the score, and what it refuses."""

import model_driver as driver
import pytest
import torch
from torch.nn import functional as F

from models.components.base import Batch, ModelContractError
from models.components.errors import ImageSizeError
from models.components.ssim import structural_similarity
from models.draem import model as draem
from models.draem.model import build


@pytest.mark.parametrize(
    ("sspcab", "wanted"), [(False, 97_422_725), (True, 83_003_909)], ids=["plain", "sspcab"]
)
def test_parameters_are_as_many_as_anomalib_2_7s(sspcab, wanted):
    with torch.device("meta"):
        model = build(weights=None, state=None, sspcab=sspcab)
    assert sum(p.numel() for p in model.parameters()) == wanted
    assert sum(p.numel() for p in model.segmentation.parameters()) == 28_374_146


@pytest.mark.parametrize("name", ["draem", "draem_plain"])
def test_loss_is_the_papers_sum(monkeypatch, name):
    model = driver.make(name).double().train()
    images, textures = (driver.pictures(2, seed).double() for seed in (1, 2))
    masks = torch.rand(2, 64, 64) < 0.2
    defective = torch.where(masks[:, None], textures, images)
    turned = []
    monkeypatch.setattr(
        draem, "turn_some", lambda pictures, _, share: turned.append(share) or pictures
    )
    monkeypatch.setattr(draem, "synthesize", lambda *_: (defective.float(), masks))
    loss = model.float().loss(Batch(images.float(), auxiliary=textures.float()))

    model.double()
    repaired, before, after = model.reconstruction(defective)
    probability = model.segmentation(torch.cat((repaired, defective), 1)).softmax(1)
    p = torch.where(masks, probability[:, 1], probability[:, 0])
    similarity = structural_similarity(repaired, images, padded=True).mean()  # has its own test
    wanted = F.mse_loss(repaired, images) + 1 - similarity - ((1 - p) ** 2 * p.log()).mean()
    if name == "draem":
        wanted = wanted + 0.1 * (after - before).square().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert turned == [0.3]


def test_weights_are_drawn_as_in_the_official_code():
    model = driver.make("draem")
    for network in (model.reconstruction, model.segmentation):
        convolution, norm = network.encoder[2][0], network.encoder[2][1]
        assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)


def test_map_is_the_probability_of_a_defect_and_sees_image_and_repair():
    model = driver.make("draem_plain").eval()
    images = driver.pictures(2, 3)
    prediction = driver.predict(model, images)["score"]
    with torch.no_grad():
        repaired = model.reconstruction(images)[0]
        logits = model.segmentation(torch.cat((repaired, images), 1))
    torch.testing.assert_close(prediction.maps, logits.softmax(1)[:, 1])


@pytest.mark.slow
def test_training_learns_to_segment_defects():
    torch.manual_seed(2)
    model = driver.make("draem_plain", width=8, seed=2)
    stripes = (torch.arange(64) // 4 % 2).float().expand(8, 3, 64, 64) * 0.5 + 0.2
    textures = driver.pictures(8, 5)
    driver.train(model, stripes, steps=120, lr=4e-3, auxiliary=textures)
    spoiled = stripes[:2].clone()
    spoiled[0, :, 20:44, 20:44] = textures[0, :, 20:44, 20:44]
    prediction = driver.predict(model, spoiled)["score"]
    assert prediction.scores[0] > prediction.scores[1]
    assert prediction.maps[0, 20:44, 20:44].mean() > 1.3 * prediction.maps[1].mean()


def test_batch_without_textures_is_refused():
    with pytest.raises(ModelContractError, match="textures"):
        driver.make("draem").loss(Batch(driver.pictures(1, 0)))


def test_one_small_image_is_refused_where_batch_norm_would_fail():
    model = driver.make("draem_plain").train()
    image, texture = (driver.pictures(1, seed, (64, 64)) for seed in (1, 2))
    assert model.loss(Batch(image, auxiliary=texture)).isfinite()
    with pytest.raises(ImageSizeError, match="at least 64, found 32×32"):
        model.loss(Batch(image[..., :32, :32], auxiliary=texture[..., :32, :32]))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        driver.predict(driver.make("draem"), driver.pictures(1, 0, (48, 64)))
    with pytest.raises(ValueError, match="no pretrained"):
        build(weights="x", state=None)
