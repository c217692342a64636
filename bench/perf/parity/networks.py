"""Our side of `bench.perf.parity`: models that are trained as a whole."""

from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.perf.parity.names import (
    DRAEM,
    DSR,
    EFFICIENTAD,
    GANOMALY,
)
from bench.perf.parity.sides import (
    Compared,
    Side,
    randomize,
    renamed,
)
from models.components.base import AnomalyModel, Batch

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
ganomaly_model: Any = import_module("models.ganomaly")
draem_model: Any = import_module("models.draem.model")
dsr_model: Any = import_module("models.dsr.model")
dsr_defects: Any = import_module("models.dsr.defects")
ssim: Any = import_module("models.components.ssim")
vqvae: Any = import_module("models.dsr.vqvae")
efficientad_model: Any = import_module("models.efficientad.model")

_EFFICIENTAD_PARTS = ("teacher.", "student.", "autoencoder.")


def efficientad(kind: str, images: Tensor) -> Side:
    """Return the features, loss and map of the small or medium EfficientAD."""
    weights = f"pdn_{kind}.distilled"
    model = efficientad_model.build(weights=weights, state=None, size=kind).eval()
    model.statistics = torch.stack((0.1 * torch.randn(384), 0.05 + torch.rand(384)))
    model.quantiles = torch.tensor([[0.5, 1.5], [0.01, 0.02]])
    shown = (images - model.mean) / model.std
    mean, std = model.statistics.view(2, 1, -1, 1, 1)
    taught, student = (model.teacher(shown) - mean) / std, model.student(shown)
    rebuilt = model.autoencoder(shown, taught.shape[-2:])
    hard = efficientad_model.hard_feature_loss((taught - student[:, :384]).square())
    penalty = model.student(shown.flip(3))[:, :384].square().mean()
    maps = model.predict(Batch(images))["score"].maps
    state = model.state_dict()
    networks = {name: each for name, each in state.items() if name.startswith(_EFFICIENTAD_PARTS)}
    levels = zip(("qa_st", "qb_st", "qa_ae", "qb_ae"), model.quantiles.flatten(), strict=True)
    quantiles = {f"quantiles.{name}": level.clone() for name, level in levels}
    border = "our map's border is 0, as the official one's; the peer pads it before the quantiles"
    return Side(
        renamed(networks, EFFICIENTAD) | {"mean_std.mean": mean, "mean_std.std": std} | quantiles,
        {"images": images},
        [
            Compared("student's features", student),
            Compared("autoencoder's features", rebuilt),
            Compared("student's loss", hard + penalty),
            Compared("map", maps, reason=border),
            Compared("map, without the border", maps, "map", margin=24),
        ],
    )


def ganomaly(images: Tensor) -> Side:
    """Return GANomaly's networks and score, for 64 pixels."""
    model = ganomaly_model.build(weights=None, state=None, image_size=64).eval()
    randomize(model)
    scaled = 2 * images - 1
    rebuilt, latent, _ = model.generator(scaled)
    score = model.predict(Batch(images))["score"].scores
    probability = model.classifier(model.discriminator(scaled)).sigmoid().flatten()
    names = {
        f"generator.{ours}.{a}": f"generator.{theirs}.{b}"
        for ours, (theirs, layers) in GANOMALY.items()
        for a, b in layers.items()
    }
    names["discriminator."] = "discriminator.features."
    names["classifier."] = "discriminator.classifier.0."
    together = model.loss(Batch(images))
    _, _, again = model.generator(scaled)
    other = model.classifier(model.discriminator(rebuilt)).sigmoid().flatten()
    discrimination = -(probability.log().mean() + (1 - other).log().mean()) / 2
    as_theirs = F.mse_loss(probability, other) + 50 * F.l1_loss(rebuilt, scaled)
    as_theirs = as_theirs + F.smooth_l1_loss(again, latent)
    matched = (
        "ours compares the discriminator's features and squares errors of latent vectors, as the "
        "official code; the peer its probabilities, and smooth absolute errors"
    )
    padding = "the peer pads the first convolution by 4 pixels, the official code and ours by 1"
    return Side(
        renamed(model.state_dict(), names),
        {"images": scaled},
        [
            Compared("score", score.square() / 100, "score", reason=padding),
            Compared("reconstruction, padded by 1", rebuilt),
            Compared("latent vectors, padded by 1", latent),
            Compared("discriminator's probability, padded by 1", probability),
            Compared(*("generator's loss, padded by 1", together - discrimination), reason=matched),
            Compared(
                *("generator's loss, of the peer's terms", as_theirs),
                "generator's loss, padded by 1",
            ),
            Compared("discriminator's loss, padded by 1", discrimination),
            Compared(
                *("score, padded by 1", score),
                reason="ours is the distance of the latent vectors, the peer's the mean square",
            ),
            Compared("score² / 100, padded by 1", score.square() / 100, "score, padded by 1"),
        ],
    )


def draem(images: Tensor, *, sspcab: bool, width: int = 128) -> Side:
    """Return DRAEM's repair, map and score.

    Our segmentation network reads the repair first, as the official one; the peer's the image.
    """
    model = draem_model.build(weights=None, state=None, sspcab=sspcab, width=width).eval()
    randomize(model)
    repaired, _, _ = model.reconstruction(images)
    prediction = model.predict(Batch(images))["score"]
    networks = {"r": "reconstructive_subnetwork.", "s": "discriminative_subnetwork."}
    names = {ours: networks[ours[0]] + theirs for ours, theirs in DRAEM.items()}
    weights = renamed(model.state_dict(), names)
    first = "discriminative_subnetwork.encoder_segment.block1.0.weight"
    weights[first] = weights[first].roll(3, 1)
    masks = torch.rand(len(images), *images.shape[2:]) < 0.3
    with patch.multiple(
        draem_model,
        synthesize=lambda images, *_: (images, masks),
        turn_some=lambda images, *_: images,
    ):
        losses = _losses(draem_model, model, Batch(images, auxiliary=images))
    missing = "the peer's SSPCAB lacks the ReLU of the paper; the rows below have it on both sides"
    window = "the peer's is the map's maximum; ours averages 21 × 21 pixels, as in the paper"
    return Side(
        weights,
        {"images": images, "sspcab": torch.tensor(sspcab), "masks": masks},
        [
            Compared("repair", repaired, reason=missing if sspcab else ""),
            *([Compared("repair, with SSPCAB's ReLU", repaired)] if sspcab else []),
            Compared("map", prediction.maps),
            Compared("score", prediction.scores, reason=window),
            Compared("score, map's maximum", prediction.maps.amax(dim=(1, 2)), "score"),
            *([] if sspcab else losses),
        ],
    )


def dsr(images: Tensor, *, width: int = 128) -> Side:
    """Return DSR's pictures, map and score, with 512 codes."""
    model = dsr_model.build(
        weights="dsr_vqvae.pretrained", state=None, codes=512, width=width
    ).eval()
    codes = model.vqvae.encode(images)
    prediction = model.predict(Batch(images))["score"]
    defective = dsr_defects.DefectiveCodes(
        *(each.roll(1, 0) for each in codes), *codes, torch.rand_like(images[:, 0]) < 0.3
    )
    with patch.multiple(
        dsr_model,
        defective_codes=lambda *_: defective,
        turn_some=lambda images, *_: images,
    ):
        losses = _losses(dsr_model, model, Batch(images))
    names = {
        f"vqvae.{ours}": f"discrete_latent_model.{theirs}"
        for ours, theirs in vqvae.official_names(model.vqvae).items()
    }
    for part, (prefix, inner) in DSR.items():
        names |= {part + ours: prefix + theirs for ours, theirs in inner.items()}
    return Side(
        renamed(model.state_dict(), names),
        {"images": images, "masks": defective.masks},
        [
            Compared("codes, low resolution", codes[0]),
            Compared("codes, high resolution", codes[1]),
            Compared("general picture", model.vqvae.decode(*codes)),
            Compared("score", prediction.scores),
            Compared("map", prediction.maps),
            *losses,
        ],
    )


def _losses(module: Any, model: AnomalyModel, batch: Batch) -> list[Compared]:
    """Return a model's loss, and the same with the peer's focal loss and structural similarity."""
    loss = model.loss(batch)
    terms: dict[str, Any] = {
        "focal_loss": _peer_focal_loss,
        "structural_similarity": _peer_similarity,
    }
    with patch.multiple(module, **{name: f for name, f in terms.items() if hasattr(module, name)}):
        as_theirs = model.loss(batch)
    own = (
        "the peer's focal loss is halved and gives normal pixels no weight; windows of structural "
        "similarity mirror the image at its border, where the official code pads with zeros"
    )
    return [
        Compared("loss", loss, reason=own),
        Compared("loss, of the peer's terms", as_theirs, "loss"),
    ]


def _peer_focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return half of the focal loss, of defective pixels alone."""
    p = logits.softmax(dim=1)[:, 1]
    return -((1 - p).square() * p.log() * masks).mean() / 2


def _peer_similarity(first: Tensor, second: Tensor, **_: bool) -> Tensor:
    """Return the structural similarity of images that are mirrored at their border."""
    mirrored = (F.pad(each, (5,) * 4, mode="reflect") for each in (first, second))
    similarity: Tensor = ssim.structural_similarity(*mirrored)
    return similarity
