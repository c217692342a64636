"""How the harness uses a model, on a small scale: shared by the tests of models."""

import inspect
from contextlib import contextmanager

import torch

from models.catalog import MODELS
from models.components.base import Batch

SIDE = 64

# Options of models that are too large to be trained in tests; their own tests count the parameters
# of the published sizes.
SHRUNK = {
    "draem": {"width": 16},
    "draem_plain": {"width": 16},
    "ganomaly": {"width": 16},
}


def make(name, recipe="baseline", *, seed=0, state=None, **options):
    """Build a catalog entry at random, for images of 64 pixels, smaller where it is `SHRUNK`."""
    entry = MODELS[name]
    build = entry.load_build()
    options = {
        **entry.options,
        **entry.recipes[recipe].options,
        **SHRUNK.get(name, {}),
        **options,
    }
    if entry.recipes[recipe].loss is not None:
        options.setdefault("loss", entry.recipes[recipe].loss)
    if "image_size" in inspect.signature(build).parameters:
        options.setdefault("image_size", SIDE)
    torch.manual_seed(seed)
    return build(weights=entry.weights, state=state, **options)


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
    """Update with images in batches and compute."""
    with evaluation(model):
        for part in images.split(cuts):
            model.update(batch_of(model, part))
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


def train(model, images, steps=3, lr=1e-3, **fields):
    """Step Adam on the same batch and return the losses."""
    model.train()
    groups = [
        {"params": parameters, "lr": lr * factor} for factor, parameters in model.parameter_groups()
    ]
    optimizer = torch.optim.Adam(groups)
    losses = []
    for step in range(steps):
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
    """Fit a model as its kind asks: statistics, then gradient steps, then calibration."""
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
