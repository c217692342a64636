"""How the harness uses a model, on a small scale: shared by the tests of models."""

import inspect
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch

import models.catalog
from models.catalog import MODELS, WEIGHTS
from models.components.base import Batch
from models.components.winograd import use_winograd

SIDE = 64

# Options of models that are too large to be trained in tests; their own tests count the parameters
# of the published sizes.
SHRUNK = {
    "draem": {"width": 16},
    "draem_plain": {"width": 16},
    "dsr": {"width": 16, "codes": 64},
    "ganomaly": {"width": 16},
    # Without the last layers, whose flows have most of the parameters.
    "cflow": {"layers": (1, 2)},
    "cflow_resnet50": {"layers": (1, 2)},
    "csflow": {"hidden": 16},
    "csflow_768": {"hidden": 16},
    "fastflow_cait": {"layers": (3,), "steps": 4},
    "fastflow_deit": {"layers": (3,), "steps": 4},
    "uflow_mcait": {"blocks": (4, 2)},
    **{
        f"dinomaly_{encoder}_{side}": {"encoder_options": {"embed_dim": 64, "num_heads": 4}}
        for encoder in ("small", "base", "large")
        for side in (224, 392, 448)
    },
}
# Smaller relatives of architectures that are too large to be built in tests.
SMALLER = {
    "efficientnet_b5.tv_in1k": "efficientnet_b0",
    "deit_base_distilled_patch16_384.fb_in1k": "deit_tiny_distilled_patch16_224",
    "cait_m48_448.fb_dist_in1k": "cait_xxs24_224",
    "cait_s24_224.fb_dist_in1k": "cait_xxs24_224",
}


def make(name, recipe="baseline", *, seed=0, state=None, **options):
    """Build a catalog entry with random weights for images of 64 pixels, smaller if `SHRUNK`."""
    entry = MODELS[name]
    torch.manual_seed(seed)
    with smaller_weights():
        model = entry.load_build()(
            weights=entry.weights, state=state, **options_of(name, recipe, **options)
        )
    use_winograd(model)  # as the harness does
    return model


def options_of(name, recipe="baseline", **options):
    """Return the options that `make` builds an entry with."""
    entry = MODELS[name]
    options = {
        **entry.options,
        **entry.recipes[recipe].options,
        **SHRUNK.get(name, {}),
        **options,
    }
    if entry.recipes[recipe].loss is not None:
        options.setdefault("loss", entry.recipes[recipe].loss)
    if "image_size" in inspect.signature(entry.load_build()).parameters:
        options.setdefault("image_size", SIDE)
    return options


def smaller_weights():
    """Return a context in which weights have the architectures of `SMALLER`."""
    smaller = {
        tag: replace(WEIGHTS[tag], architecture=architecture)
        for tag, architecture in SMALLER.items()
    }
    return patch.dict(models.catalog._weights, smaller)


def pictures(count, seed, size=(SIDE, SIDE)):
    """Return random images ``(count, 3, H, W)``."""
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def batch_of(model, images, **fields):
    """Return a batch whose features are filled, as by the harness."""
    features = None if model.backbone is None else model.backbone(images)
    return Batch(images, features, **fields)


def features_batch(features, size=(SIDE, SIDE)):
    """Return a batch of cached features of one layer, without images."""
    return Batch(None, [features], image_size=size)


@contextmanager
def evaluation(model):
    """Evaluation mode, inference mode and no autocast, as the harness sets them."""
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


def gather(model, images, cuts=2):
    """Update with images in batches and compute, in evaluation mode and without gradient."""
    model.eval()
    with torch.no_grad():  # inference mode is per thread, and `compute` may use several
        for part in images.split(cuts):
            model.update(batch_of(model, part))
        model.compute()
    return model


def gather_features(model, features, cuts=16):
    """Update with cached features of one layer in batches, and compute."""
    with evaluation(model):
        for part in features.split(cuts):
            model.update(features_batch(part))
        model.compute()
    return model


def training_fields(name, images):
    """Return the fields of a training batch that a catalog entry asks for, at random."""
    entry, (count, _, *side) = MODELS[name], images.shape
    fields = {}
    if entry.auxiliary:
        fields["auxiliary"] = pictures(count, 9, side)
    if entry.supervised:
        fields["targets"] = torch.arange(count) % 2 == 1
        fields["masks"] = _squares(count, side) & fields["targets"][:, None, None]
    return fields


def _squares(count, side):
    masks = torch.zeros(count, *side, dtype=torch.bool)
    masks[:, side[0] // 4 : side[0] // 2, side[1] // 4 : side[1] // 2] = True
    return masks


def train(model, images, steps=3, lr=1e-3, seed=None, **fields):
    """Step Adam on the same batch, under the same noise with a seed, and return the losses."""
    model.train()
    groups = [
        {"params": parameters, "lr": lr * factor} for factor, parameters in model.parameter_groups()
    ]
    optimizer = torch.optim.Adam(groups)
    losses = []
    for step in range(steps):
        if seed is not None:
            torch.manual_seed(seed)
        optimizer.zero_grad()
        loss = model.loss(batch_of(model, images, step=step, steps=steps, **fields))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def calibrate(model, images):
    """Calibrate with a batch of held-out images."""
    with evaluation(model):
        model.calibrate([batch_of(model, images)])


def fit(model, images, *, held_out=None, steps=3, **fields):
    """Fit a model as its kind requires: statistics, then gradient steps, then calibration."""
    if model.gathers_statistics:
        gather(model, images)
    if model.uses_gradients:
        train(model, images[:2], steps, **fields)
    if held_out is not None:
        calibrate(model, held_out)
    return model


def predict(model, images):
    """Return the predictions for images by head."""
    with evaluation(model):
        return model.predict(batch_of(model, images))


def tensors(module):
    """Return copies of a module's state."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
