"""Our side of `bench.perf.parity`: models that are trained as a whole."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

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
from models.components.base import Batch

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
ganomaly_model: Any = import_module("models.ganomaly")
draem_model: Any = import_module("models.draem.model")
dsr_model: Any = import_module("models.dsr.model")
vqvae: Any = import_module("models.dsr.vqvae")
efficientad_model: Any = import_module("models.efficientad.model")

_EFFICIENTAD_PARTS = ("teacher.", "student.", "autoencoder.")


def efficientad(images: Tensor) -> Side:
    """Return the features, loss and map of the small EfficientAD."""
    model = efficientad_model.build(weights="pdn_small.distilled", state=None).eval()
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
    padding = "the peer pads the first convolution by 4 pixels, the official code and ours by 1"
    return Side(
        renamed(model.state_dict(), names),
        {"images": scaled},
        [
            Compared("score", score.square() / 100, "score", reason=padding),
            Compared("reconstruction, padded by 1", rebuilt),
            Compared("latent vectors, padded by 1", latent),
            Compared("discriminator's probability, padded by 1", probability),
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
    missing = "the peer's SSPCAB lacks the ReLU of the paper; the rows below have it on both sides"
    window = "the peer's is the map's maximum; ours averages 21 × 21 pixels, as in the paper"
    return Side(
        weights,
        {"images": images, "sspcab": torch.tensor(sspcab)},
        [
            Compared("repair", repaired, reason=missing if sspcab else ""),
            *([Compared("repair, with SSPCAB's ReLU", repaired)] if sspcab else []),
            Compared("map", prediction.maps),
            Compared("score", prediction.scores, reason=window),
            Compared("score, map's maximum", prediction.maps.amax(dim=(1, 2)), "score"),
        ],
    )


def dsr(images: Tensor, *, width: int = 128) -> Side:
    """Return DSR's pictures, map and score, with 512 codes."""
    model = dsr_model.build(
        weights="dsr_vqvae.pretrained", state=None, codes=512, width=width
    ).eval()
    codes = model.vqvae.encode(images)
    prediction = model.predict(Batch(images))["score"]
    names = {
        f"vqvae.{ours}": f"discrete_latent_model.{theirs}"
        for ours, theirs in vqvae.official_names(model.vqvae).items()
    }
    for part, (prefix, inner) in DSR.items():
        names |= {part + ours: prefix + theirs for ours, theirs in inner.items()}
    return Side(
        renamed(model.state_dict(), names),
        {"images": images},
        [
            Compared("codes, low resolution", codes[0]),
            Compared("codes, high resolution", codes[1]),
            Compared("general picture", model.vqvae.decode(*codes)),
            Compared("score", prediction.scores),
            Compared("map", prediction.maps),
        ],
    )
