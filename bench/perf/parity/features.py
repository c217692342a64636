"""Our side of `bench.perf.parity`: models that describe or compare a backbone's features."""

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.perf.parity.sides import (
    BLUR_RADIUS,
    Compared,
    Side,
    backbone_state,
    batch_of,
    joined,
    normalized,
    randomize,
    renamed,
    trained_state,
)
from models.catalog import MODELS
from models.components.anomaly_map import resize_maps
from models.components.base import Prediction

RESNET18 = "resnet18.tv_in1k"

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
cfa_model: Any = import_module("models.cfa")
dfkde_model: Any = import_module("models.dfkde")
dfm_model: Any = import_module("models.dfm")
fre_model: Any = import_module("models.fre")
padim_model: Any = import_module("models.padim")
stfpm_model: Any = import_module("models.stfpm")
patchcore_model: Any = import_module("models.patchcore.model")
rd_model: Any = import_module("models.reverse_distillation.model")
rd_student: Any = import_module("models.reverse_distillation.resnet_student")

_BORDER = "our blur repeats the edge pixel, the peer's mirrors the map: they differ near the border"


def stfpm(images: Tensor) -> Side:
    """Return STFPM's student, map and loss."""
    state = backbone_state(RESNET18, (1, 2, 3))
    model = stfpm_model.build(weights=RESNET18, state=state).eval()
    randomize(model.student)
    batch = batch_of(model, images)
    student = model.student(normalized(model, images))
    maps = stfpm_model.distance_maps(batch.get_features(), student)
    enlarged = torch.stack([resize_maps(each, batch.size) for each in maps]).prod(dim=0)
    loss = model.loss(batch)
    first = "as the official code, ours multiplies the layers' maps before it enlarges the product"
    summed = (
        "ours is the official mean over the batch, the peer's half of the sum: B / 2 times ours"
    )
    names = {"teacher.": "teacher_model.feature_extractor."}
    names["student."] = "student_model.feature_extractor."
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [
            Compared("features of the student", joined(student)),
            Compared("map", _map(model.predict(batch)), reason=first),
            Compared("map, layers enlarged first", enlarged, "map"),
            Compared("loss", loss, reason=summed),
            Compared("loss × B / 2", loss * len(images) / 2, "loss"),
        ],
    )


def reverse_distillation(tag: str, images: Tensor) -> Side:
    """Return Reverse Distillation's decoded features, loss and map for a backbone."""
    state = backbone_state(tag, (1, 2, 3))
    model = rd_model.build(weights=tag, state=state, loss="flattened").eval()
    for part in (model.bottleneck, model.decoder):
        randomize(part)
    batch = batch_of(model, images)
    prediction = model.predict(batch)["multi_scale"]
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    names = {"teacher.": "encoder.feature_extractor."}
    names |= {"bottleneck.": "bottleneck.", "decoder.": "decoder."}
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [
            Compared("decoded features", joined(model.student(batch.get_features()))),
            Compared("loss", model.loss(batch)),
            Compared("map", prediction.maps, reason=_BORDER),
            Compared("map, without the border", prediction.maps, "map", margin=BLUR_RADIUS),
        ],
    )


def wide_decoder(images: Tensor) -> Side:
    """Return the features that the decoder of Reverse Distillation's WRN50 decodes from noise."""
    shape = rd_student.SHAPES["wide_resnet50_2"]
    decoder = rd_student.ResNetDecoder(shape).eval()
    randomize(decoder)
    side = max(1, images.shape[-1] // 32)
    embedding = torch.randn(len(images), 2 * shape.channels[-1], side, side)
    return Side(
        renamed(decoder.state_dict(), {"": ""}),
        {"embedding": embedding},
        [Compared("decoded features", joined(decoder(embedding)))],
    )


def padim(images: Tensor) -> Side:
    """Return PaDiM's means and maps of Gaussians of eight images."""
    state = backbone_state(RESNET18, (1, 2, 3))
    model = padim_model.build(weights=RESNET18, state=state, channels=100).eval()
    train = torch.rand(8, *images.shape[1:])
    model.update(batch_of(model, train))
    model.compute()
    maps = _map(model.predict(batch_of(model, images)))
    ridge, rows = model.gaussians.regularization, model.gaussians.whitening.double()
    inverse = (torch.eye(rows.shape[2], dtype=torch.float64) - rows.mT @ rows) / ridge
    own = "the peer adds 1e-5 to the diagonal of a covariance besides 0.01"
    model.gaussians.regularization = ridge + 1e-5
    model.update(batch_of(model, train))
    model.compute()
    stabilized = _map(model.predict(batch_of(model, images)))
    inputs = {"mean": model.gaussians.mean.T, "inverse": inverse.float()}
    inputs |= {"images": normalized(model, images), "train": normalized(model, train)}
    return Side(
        renamed(state, {"": "feature_extractor.feature_extractor."}) | {"idx": model.channels},
        inputs,
        [
            Compared("means of the embeddings", model.gaussians.mean.T),
            Compared("map of the same Gaussians", maps, reason=_BORDER),
            Compared(
                *("map, without the border", maps, "map of the same Gaussians"), margin=BLUR_RADIUS
            ),
            Compared("map of its own fit", maps, reason=own, margin=BLUR_RADIUS),
            Compared(
                *("map, 1e-5 more on the diagonal", stabilized, "map of its own fit"),
                margin=BLUR_RADIUS,
            ),
        ],
    )


def patchcore(images: Tensor) -> Side:
    """Return the recipe ``anomalib`` of PatchCore over one memory bank."""
    state = backbone_state(RESNET18, (2, 3))
    options = MODELS["patchcore_resnet18"].recipes["anomalib"].options
    model = patchcore_model.build(weights=RESNET18, state=state, **options).eval()
    batch = batch_of(model, images)
    train = model.embedding(batch_of(model, torch.rand_like(images)).get_features())
    patches = train.movedim(1, -1).flatten(0, 2)
    bank = patches[torch.randperm(len(patches))[: len(patches) // 2]]
    model.memory_bank.fill(bank)
    prediction = model.predict(batch)["score"]
    return Side(
        renamed(state, {"": "feature_extractor.feature_extractor."}),
        {"images": normalized(model, images), "bank": bank},
        [
            Compared("embedding", model.embedding(batch.get_features())),
            Compared("score", prediction.scores),
            Compared("map", prediction.maps),
        ],
    )


def cfa(images: Tensor) -> Side:
    """Return CFA's descriptors, loss and map for one memory bank."""
    state = backbone_state(RESNET18, (1, 2, 3))
    model = cfa_model.build(weights=RESNET18, state=state).eval()
    model.update(batch_of(model, torch.rand_like(images)))
    model.compute()
    batch = batch_of(model, images)
    pooled = [F.avg_pool2d(layer, 3, stride=1, padding=1) for layer in batch.get_features()]
    descriptors = model.descriptor(pooled)
    nearest = torch.cdist(descriptors.flatten(0, 2), model.memory_bank).topk(6, largest=False)
    with torch.no_grad():
        model.radius.copy_(nearest.values.median())  # so that both terms of the loss count
    maps, loss = _map(model.predict(batch)), model.loss(batch)
    thousand = "the peer's is 1,000 times ours; under Adam, a factor changes nothing"
    weights = renamed(model.descriptor.state_dict(), {"conv.": "descriptor.layer.conv2d."})
    inputs = {"images": normalized(model, images), "bank": model.memory_bank.T}
    return Side(
        weights | renamed(state, {"": "feature_extractor."}),
        inputs | {"radius": model.radius.detach()},
        [
            Compared("descriptors", descriptors.movedim(-1, 1)),
            Compared("loss", loss, reason=thousand),
            Compared("loss × 1,000", 1000 * loss, "loss"),
            Compared("map", maps, reason=_BORDER),
            Compared("map, without the border", maps, "map", margin=BLUR_RADIUS),
        ],
    )


def dfm(images: Tensor) -> Side:
    """Return DFM's reconstruction errors and likelihoods for the same components."""
    state = backbone_state(RESNET18, (3,))
    train = torch.rand(12, *images.shape[1:])
    model = dfm_model.build(weights=RESNET18, state=state, score="fre").eval()
    likelihood = dfm_model.build(weights=RESNET18, state=state, score="nll").eval()
    for each in (model, likelihood):
        each.update(batch_of(each, train))
        each.compute()
    batch = batch_of(model, images)
    prediction = model.predict(batch)["score"]
    nll = likelihood.predict(batch)["score"].scores
    constant = len(model.pca.variances) * math.log(2 * math.pi)
    affine = (
        "the peer's is twice ours minus a constant; the peer's own fit for it raises a TypeError"
    )
    inputs = {"mean": model.pca.mean, "components": model.pca.components.T}
    return Side(
        renamed(state, {"": "feature_extractor.feature_extractor."}),
        inputs | {"images": normalized(model, images), "variances": model.pca.variances},
        [
            Compared("score, fre", prediction.scores),
            Compared("map", prediction.maps),
            Compared("score, nll", nll, reason=affine),
            Compared("score, 2 nll − k ln 2π", 2 * nll - constant, "score, nll"),
        ],
    )


def dfkde(images: Tensor) -> Side:
    """Return DFKDE's densities, fitted by each side to the same 40 images."""
    state = backbone_state(RESNET18, (4,))
    model = dfkde_model.build(weights=RESNET18, state=state).eval()
    train = torch.rand(40, *images.shape[1:])
    images = 0.95 * train[: len(images)] + 0.05 * images  # near, or the peer's densities underflow
    model.update(batch_of(model, train))
    model.compute()
    score = model.predict(batch_of(model, images))["score"].scores
    saturated = "the peer's is a logistic function of our score, a log density, that saturates"
    return Side(
        renamed(state, {"": "feature_extractor.feature_extractor."}),
        {"images": normalized(model, images), "train": normalized(model, train)},
        [
            Compared("score", score, reason=saturated),
            Compared("score, σ((12 + score) / 20)", ((12 + score) / 20).sigmoid(), "score"),
            Compared("log density", -score),
        ],
    )


def fre(images: Tensor) -> Side:
    """Return FRE's errors."""
    state = backbone_state(RESNET18, (3,))
    size = images.shape[-1]
    model = fre_model.build(weights=RESNET18, state=state, image_size=size, latent=32).eval()
    torch.nn.init.normal_(model.autoencoder.encoder_bias)
    torch.nn.init.normal_(model.autoencoder.decoder_bias)
    batch = batch_of(model, images)
    prediction = model.predict(batch)["score"]
    names = {"autoencoder.": "fre_model.", "teacher.": "feature_extractor.feature_extractor."}
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [Compared("score", prediction.scores), Compared("map", prediction.maps)],
    )


def _map(predictions: Mapping[str, Prediction]) -> Tensor:
    (prediction,) = predictions.values()
    assert prediction.maps is not None
    return prediction.maps
