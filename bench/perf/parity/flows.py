"""Our side of `bench.perf.parity`: normalizing flows."""

import math
from importlib import import_module
from typing import Any

import torch
from FrEIA.modules import AllInOneBlock, GLOWCouplingBlock
from torch import Tensor, nn

from bench.perf.parity.features import RESNET18
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
from models.components.anomaly_map import resize_maps

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
cflow_model: Any = import_module("models.flows.cflow")
csflow_model: Any = import_module("models.flows.csflow")
fastflow_model: Any = import_module("models.flows.fastflow")
uflow_model: Any = import_module("models.flows.uflow")

_SPLIT_BLOCKS = (3, 10)
"""Places of U-Flow's blocks before a split."""

_CROSS_SCALE = {
    "gamma": "gamma0",
    **{f"first.{scale}.": f"conv_scale{scale}_0." for scale in range(3)},
    **{f"same.{scale}.": f"conv_scale{scale}_1." for scale in range(3)},
    "down.0.": "down_conv01.",
    "down.1.": "down_conv12.",
    "up.0.": "up_conv10.",
    "up.1.": "up_conv21.",
}
"""The peer's names of the layers of CS-Flow's networks, by ours."""

_COUPLINGS = (1, 3, 5, 7)
"""Places of CS-Flow's couplings; the places between are permutations."""


def fastflow(images: Tensor) -> Side:
    """Return FastFlow's latents, losses and map."""
    state = backbone_state(RESNET18, (1, 2, 3))
    model = fastflow_model.build(
        weights=RESNET18, state=state, layers=(1, 2, 3), image_size=images.shape[-1]
    ).eval()
    _randomize_flows(model.flows)
    randomize(model.norms)
    batch = batch_of(model, images)
    latents, log_determinant = model.transform(batch.get_features())
    counted = _norms_log_determinant(model.norms)
    loss, maps = model.loss(batch), model.predict(batch)["score"].maps
    names = {"flows.": "fast_flow_blocks.", "norms.norms.": "norms."}
    names["teacher."] = "feature_extractor."
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    uncounted = "ours also counts the log-determinant of the trainable LayerNorms"
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [
            Compared("latents", joined(latents)),
            Compared("log-determinant", log_determinant, reason=uncounted),
            Compared("log-determinant, flows alone", log_determinant - counted, "log-determinant"),
            Compared("loss", loss, reason=uncounted),
            Compared("loss, flows alone", loss + counted, "loss"),
            Compared("map", maps, reason="ours is −log of the likelihood, which never underflows"),
            Compared("map, minus the likelihood", -(-maps).exp(), "map"),
        ],
    )


def cflow(images: Tensor) -> Side:
    """Return CFlow's log-likelihoods and map."""
    state = backbone_state(RESNET18, (2, 3, 4))
    model = cflow_model.build(weights=RESNET18, state=state).eval()
    _randomize_flows(model.flows)
    batch = batch_of(model, images)
    layers = model.log_likelihoods(batch)
    maps = model.predict(batch)["score"].maps
    relative = [
        resize_maps((layer - layer.max()).exp(), batch.size, align_corners=True) for layer in layers
    ]
    total = torch.stack(relative).sum(dim=0)
    whole_batch = "the peer's depends on the largest likelihood in the batch, ours on the image"
    names = {"flows.": "decoders.", "teacher.": "encoder.feature_extractor."}
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained_state(model)
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [
            Compared("log-likelihoods", joined(layers)),
            Compared("map", maps, reason=whole_batch),
            Compared("map, relative to the batch", total.max() - total, "map"),
        ],
    )


def uflow(images: Tensor) -> Side:
    """Return U-Flow's latents, loss and map.

    The peer keeps the other half of a split: the permutation before it is turned by half.
    """
    state = backbone_state(RESNET18, (1, 2, 3))
    size = images.shape[-1]
    model = uflow_model.build(weights=RESNET18, state=state, image_size=size).eval()
    _randomize_flows(model.flow)
    randomize(model.norms)
    batch = batch_of(model, images)
    latents, log_determinant = model.transform(batch.get_features())
    alone = log_determinant - _norms_log_determinant(model.norms)
    squares = joined(latents).square().sum() / 2
    maps = model.predict(batch)["score"].maps
    trained = trained_state(model)
    for place in _SPLIT_BLOCKS:
        for name, dimension in (("w_perm", 0), ("w_perm_inv", 1)):
            matrix = trained[f"flow.module_list.{place}.{name}"]
            turned = matrix.roll(len(matrix) // 2, dimension)
            trained[f"flow.module_list.{place}.{name}"] = turned
    names = {"flow.": "flow.", "norms.norms.": "feature_extractor.feature_normalizations."}
    names["teacher."] = "feature_extractor.feature_extractor."
    weights = {f"teacher.{name}": tensor for name, tensor in state.items()} | trained
    summed = "the peer sums the squares over the batch and leaves out the norms' log-determinant"
    return Side(
        renamed(weights, names),
        {"images": normalized(model, images)},
        [
            Compared("latents", joined(latents)),
            Compared("log-determinant, flow alone", alone),
            Compared("loss", model.loss(batch), reason=summed),
            Compared("loss, as the peer sums", squares - alone.mean(), "loss"),
            Compared(
                "map", maps, reason="ours is −log of the likelihood, the peer's 1 − likelihood"
            ),
            Compared("map, 1 − likelihood", 1 - (-maps).exp(), "map"),
        ],
    )


def csflow(images: Tensor) -> Side:
    """Return CS-Flow's latents, loss, score and map for random features of three scales."""
    size = images.shape[-1]
    shapes = [(304, size // factor, size // factor) for factor in (32, 64, 128)]
    features = [torch.randn(len(images), *shape) for shape in shapes]
    flow = csflow_model.cross_scale_flow(shapes, hidden=64).eval()
    gammas = [each for name, each in flow.named_parameters() if name.endswith("gamma")]
    for gamma in gammas:
        nn.init.constant_(gamma, 0.5)
    latents, _ = flow(csflow_model.join(features))
    for place in _COUPLINGS:
        coupling = flow.module_list[place]
        assert isinstance(coupling, GLOWCouplingBlock)
        clamp = coupling.clamp
        coupling.f_clamp = lambda values, clamp=clamp: 0.636 * torch.atan(values / clamp)
    rounded, log_determinant = flow(csflow_model.join(features))
    scales = csflow_model.split(rounded, shapes)
    squares = rounded.square()
    maps = [resize_maps(z.square().mean(dim=1), (size, size)) for z in scales]
    per_image = squares.sum(dim=(1, 2)) / 2
    dimensions = math.prod(rounded.shape[1:])
    loss = (per_image - log_determinant).mean() / dimensions
    summed = (per_image.mean() - log_determinant.sum()) / dimensions
    batch_sum = "the peer subtracts the log-determinant of the whole batch from each image"
    finest = "ours is half of the finest scale's, as in the paper; the peer multiplies all scales"
    return Side(
        _cross_scale_weights(flow.state_dict()),
        {
            **{f"features {scale}": each for scale, each in enumerate(features)},
            **{f"order {place}": flow.module_list[place - 1].perm for place in _COUPLINGS},
        },
        [
            Compared(
                *("latents", latents), reason="2 / π is rounded to 0.636 by the peer's soft clamp"
            ),
            Compared("latents, with 0.636", rounded, "latents"),
            Compared("score, with 0.636", squares.mean(dim=(1, 2)) / 2),
            Compared("loss, with 0.636", loss, reason=batch_sum),
            Compared("loss, as the peer sums", summed, "loss, with 0.636"),
            Compared("map, with 0.636", maps[0] / 2, reason=finest),
            Compared(
                *("map, all scales", torch.stack(maps).prod(dim=0), "map, with 0.636"),
            ),
        ],
    )


def _cross_scale_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the couplings' tensors; the peer has our factor γ for each of three scales."""
    couplings = {name: tensor for name, tensor in state.items() if ".subnet" in name}
    names = {
        f"module_list.{place}.subnet{half}.{ours}": (
            f"graph.module_list.{place}.cross_convolution{half}.{theirs}"
        )
        for place in _COUPLINGS
        for half in (1, 2)
        for ours, theirs in _CROSS_SCALE.items()
    }
    weights = renamed(couplings, names)
    for name in [name for name in weights if name.endswith("gamma0")]:
        weights[name] = weights[name].view(1)
        for scale in (1, 2):
            weights[f"{name[:-1]}{scale}"] = weights[name].clone()
    return weights


def _norms_log_determinant(norms: Any) -> Tensor:
    return sum((norm.weight.abs().log().sum() for norm in norms.norms), torch.zeros(()))


@torch.no_grad()
def _randomize_flows(flows: nn.Module) -> None:
    """Draw the scales and offsets of a flow's blocks, which all start at 1 and 0."""
    for block in flows.modules():
        if isinstance(block, AllInOneBlock):
            block.global_scale.add_(0.2 * torch.randn_like(block.global_scale))
            block.global_offset.normal_(0, 0.1)
