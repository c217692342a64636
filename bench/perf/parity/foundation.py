"""Our side of `bench.perf.parity`: models on foundation or adapted features."""

from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.perf.parity.names import UNINET_BOTTLENECK
from bench.perf.parity.sides import (
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
from models.components.anomaly_map import SIGMA, resize_maps

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
dinomaly_model: Any = import_module("models.dinomaly.model")
supersimplenet_model: Any = import_module("models.supersimplenet.model")
uninet_model: Any = import_module("models.uninet.model")
vision_transformer: Any = import_module("timm.models.vision_transformer")

RESNET18 = "resnet18.tv_in1k"
RESNET50 = "resnet50.tv_in1k"
DINO = "vit_small_patch14_reg4_dinov2.lvd142m"

_OTHER_SIDE = 112
"""Size in pixels at which Dinomaly's position embeddings are resampled."""

_EASY_STEP = 500
"""Optimizer step of Dinomaly's loss, at which almost half of the points count as easy."""

_BIASES = ("fc1.bias", "fc2.bias")


def uninet(images: Tensor) -> Side:
    """Return UniNet's student, loss, map and score."""
    state = backbone_state(RESNET50, (1, 2, 3))
    model = uninet_model.build(weights=RESNET50, state=state).eval()
    for part in (model.target, model.bottleneck, model.student):
        randomize(part)
    for theta in model.selection.thetas:
        torch.nn.init.normal_(theta)
    batch = batch_of(model, images)
    target = model.target(normalized(model, images))
    both = [torch.cat(s) for s in zip(target, batch.get_features(), strict=True)]
    prediction = model.predict(batch)["score"]
    with patch.object(uninet_model, "upsample_and_blur", lambda maps, size: maps):
        plain = model.predict(batch)["score"].maps
    source = {f"source.{name}": tensor for name, tensor in state.items()}
    names = {"source.": "teachers.source_teacher.", "target.": "teachers.target_teacher."}
    names |= {"student.": "student.", "bottleneck.": "bottleneck."}
    names |= {f"bottleneck.{a}": f"bottleneck.{b}" for a, b in UNINET_BOTTLENECK.items()}
    names |= {f"selection.thetas.{n}": f"dfs.theta{n + 1}" for n in range(3)}
    largest = "the peer takes the maximum, ours is the mean of the largest values, as in the paper"
    return Side(
        renamed(source | trained_state(model), names),
        {"images": normalized(model, images)},
        [
            Compared("decoded features", joined(model.student(model.bottleneck(both)))),
            Compared("loss", model.loss(batch)),
            Compared("map", prediction.maps, reason="ours is blurred; the peer's is not"),
            Compared("map, not blurred", plain, "map"),
            Compared("score", prediction.scores, reason=largest),
            Compared("score, maximum", _mirrored_blur(plain, 2).amax(dim=(1, 2)), "score"),
        ],
    )


def supersimplenet(images: Tensor) -> Side:
    """Return SuperSimpleNet's adapted features, logits and map."""
    state = backbone_state(RESNET18, (2, 3))
    model = supersimplenet_model.build(weights=RESNET18, state=state).eval()
    randomize(model.heads)
    torch.nn.init.normal_(model.adaptor.projection.bias)
    batch = batch_of(model, images)
    adapted = model.adaptor(batch.get_features())
    aligned = F.interpolate
    with patch.object(
        F, "interpolate", lambda x, size, mode, align_corners: aligned(x, size, mode=mode)
    ):
        other = model.adaptor(batch.get_features())
    maps, scores = model.heads(adapted)
    prediction = model.predict(batch)["score"]
    mirrored = _mirrored_blur(resize_maps(maps, batch.size), 12)
    defects = torch.rand_like(maps) < 0.3
    labels = torch.arange(len(images)) % 2 > 0
    loss = supersimplenet_model.segmentation_loss(maps, defects)
    loss = loss + supersimplenet_model.focal_loss(scores, labels)
    names = {"adaptor.": "adaptor.", "heads.segmentation.": "segdec.seg_head."}
    names |= {"heads.classification.": "segdec.cls_conv.", "heads.score.": "segdec.cls_fc."}
    names["teacher."] = "feature_extractor.feature_extractor.feature_extractor."
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    corners = "ours upsamples with aligned corners, as the official code; the peer without"
    blur = "ours are logits, and the peer's blur ends at three standard deviations, not four"
    return Side(
        renamed(weights, names),
        {
            "images": normalized(model, images),
            "adapted": adapted,
            "defects": defects,
            "labels": labels,
        },
        [
            Compared("adapted features", adapted, reason=corners),
            Compared("adapted features, corners not aligned", other, "adapted features"),
            Compared("logits of the same features", joined((maps, scores))),
            Compared("loss of the same features", loss),
            Compared("map of the same features", prediction.maps.sigmoid(), reason=blur),
            Compared("map, mirrored blur", mirrored.sigmoid(), "map of the same features"),
        ],
    )


def dinomaly(images: Tensor) -> Side:
    """Return Dinomaly's encoder, loss, gradient, map and score.

    The peer's MLPs have no bias: ours start at 0 and are left out.
    """
    model = dinomaly_model.build(weights=DINO, state=None).eval()
    torch.nn.init.normal_(model.backbone.backbone.pos_embed, std=0.5)
    for name, parameter in model.backbone.named_parameters():
        if name.endswith("gamma"):  # layer scales, which start at 1e-5
            torch.nn.init.uniform_(parameter)
    randomize(model.decoder)
    batch = batch_of(model, images)
    small = F.interpolate(images, (_OTHER_SIDE, _OTHER_SIDE), mode="bilinear")
    resample = partial(vision_transformer.resample_abs_pos_embed, antialias=False)
    with patch.object(vision_transformer, "resample_abs_pos_embed", resample):
        plain = joined(model.backbone(small))
    resampled = joined(model.backbone(small))
    features = model.reconstruct(batch.get_features())
    with torch.enable_grad():
        loss = model.loss(replace(batch, step=_EASY_STEP))
        (gradient,) = torch.autograd.grad(loss, model.bottleneck.fc1.weight)
    prediction = model.predict(batch)["score"]
    distances = [1 - F.cosine_similarity(t, s, dim=-1) for t, s in zip(*features, strict=True)]
    points = torch.stack(distances).mean(dim=0).view(-1, *model.backbone.grid(batch.size))
    plain_map = resize_maps(points, batch.size, align_corners=True)
    blurred = _mirrored_blur(resize_maps(plain_map, (256, 256)), 2).flatten(1)
    top = blurred.topk(blurred.shape[1] // 100).values.mean(dim=1)
    names = {"teacher.": "encoder.feature_extractor.", "decoder.": "decoder."}
    names["bottleneck."] = "bottleneck.0."
    trained = {name: t for name, t in trained_state(model).items() if not name.endswith(_BIASES)}
    encoder = model.backbone.backbone.state_dict()
    encoder = {f"teacher.{name}": tensor for name, tensor in encoder.items()}
    zeros = "beyond the border our blur reads 0, as the official one; the peer's mirrors the map"
    resampling = (
        "ours antialiases resampled position embeddings, unlike the peer and the official code"
    )
    return Side(
        renamed(encoder | trained, names),
        {"images": normalized(model, images), "small": normalized(model, small)},
        [
            Compared("encoder's features", joined(batch.get_features())),
            Compared("encoder's features, resampled", resampled, reason=resampling),
            Compared("encoder's features, not antialiased", plain, "encoder's features, resampled"),
            Compared("reconstructed features", joined(each.mT for each in features[1])),
            Compared("loss", loss),
            Compared("gradient, hard mining", gradient),
            Compared("map", prediction.maps, reason="ours is blurred at 256 pixels, as evaluated"),
            Compared("map, not blurred", plain_map, "map"),
            Compared("score", prediction.scores, reason=zeros),
            Compared("score, mirrored blur", top, "score"),
        ],
    )


def _mirrored_blur(maps: Tensor, radius: int) -> Tensor:
    """Blur maps ``(B, H, W)`` as the peer does: mirrored at the border, and cut at a radius."""
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / SIGMA) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(maps[:, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[:, 0]
