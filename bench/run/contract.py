"""The contract of `models.components.base`, checked before anything is trained."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.run.device import untuned
from models.components.base import (
    AnomalyModel,
    Batch,
    Classifier,
    ModelContractError,
    Prediction,
)

_BATCH_TOLERANCE = 0.01
"""Share of the largest score by which the batch may move a score: rounding moves it by 1e-4."""


def check_build(build: Callable[..., Any], name: str, arguments: dict[str, Any]) -> None:
    """Check that a build function takes the keyword arguments that it is called with.

    Raises:
        ModelContractError: It does not; the message says which it takes and which it gets.
    """
    try:
        inspect.signature(build).bind(**arguments)
    except TypeError as error:
        raise ModelContractError(
            f"The build function of {name} cannot be called: {error}. Wanted a function with the "
            f"keywords {', '.join(arguments)}, found {inspect.signature(build)}. Write it as "
            "`def build(*, weights, state, ...)`, with a parameter for each of the entry's options."
        ) from None


def check_built(model: object, name: str) -> None:
    """Check what a build function returned.

    Raises:
        ModelContractError: It is not an instance of the base classes.
    """
    if not isinstance(model, AnomalyModel | Classifier):
        raise ModelContractError(
            f"The build function of {name} returned {_kind(model)}: wanted an AnomalyModel, or a "
            "Classifier for classification. Return the model, and derive its class from the one in "
            "models/components/base.py."
        )


def check_methods(model: AnomalyModel, optimizer: str) -> None:
    """Check that a model's methods and parameters fit its recipe's optimizer.

    Raises:
        ModelContractError: They do not.
    """
    name = type(model).__name__
    if not (model.uses_gradients or model.gathers_statistics):
        raise ModelContractError(
            f"{name} defines neither loss nor update and compute: wanted one of the two. Define "
            "loss for a model trained by gradient, update and compute for one that gathers "
            "statistics."
        )
    if (optimizer != "none") != model.uses_gradients:
        raise ModelContractError(
            f"The recipe of {name} has the optimizer '{optimizer}', but the model "
            f"{'defines' if model.uses_gradients else 'does not define'} loss: wanted an optimizer "
            "with a loss, or 'none' without one."
        )
    if model.uses_gradients and not model.trainable_parameters():
        raise ModelContractError(
            f"{name} defines loss, but has nothing to train: wanted a parameter that requires a "
            "gradient, found none. Make tensors `nn.Parameter`s, and keep layers as attributes or "
            "in an nn.ModuleList, not in a plain list."
        )


def check_loss(model: AnomalyModel, loss: object) -> None:
    """Check the loss of a batch; reads no value, so that it never waits for a GPU.

    Raises:
        ModelContractError: It is not a scalar tensor, or depends on no parameter.
    """
    name = type(model).__name__
    if not isinstance(loss, Tensor) or loss.ndim:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else _kind(loss)
        raise ModelContractError(
            f"The loss of {name}: wanted a scalar tensor, found {found}. Return the mean over "
            "images and positions."
        )
    if not loss.requires_grad:
        raise ModelContractError(
            f"The loss of {name} depends on no parameter, so nothing can be trained. Look for "
            "detach(), item() or torch.no_grad() on the way from the parameters to the loss."
        )


def check_predictions(
    model: AnomalyModel, batch: Batch, heads: Sequence[str], device: torch.device
) -> None:
    """Check that a batch's predictions are what the model's entry declares.

    The state of torch's random numbers is left as it was.

    Raises:
        ModelContractError: Heads, shapes or types differ, or a score depends on other images of the
            batch; the message says what was declared and what was returned.
    """
    training = model.training
    model.eval()
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with torch.inference_mode(), untuned(), forked:
        predictions = model.predict(batch)
        name = type(model).__name__
        if not isinstance(predictions, dict) or list(predictions) != list(heads):
            given = list(predictions) if isinstance(predictions, dict) else _kind(predictions)
            raise ModelContractError(
                f"The catalog entry of {name} declares the heads {list(heads)}, but predict "
                f"returned {given}. Return a dict with exactly these keys, in this order, or "
                "change `heads` in the entry."
            )
        for head, prediction in predictions.items():
            _check_prediction(f"{name}, head {head}", prediction, batch)
        for place in range(_count(batch)):
            _check_alone(name, place, model.predict(_only(batch, place)), predictions)
    model.train(training)


def _check_prediction(where: str, prediction: object, batch: Batch) -> None:
    if not isinstance(prediction, Prediction):
        raise ModelContractError(
            f"{where}: wanted a Prediction(scores=..., maps=...) of models.components.base, found "
            f"{_kind(prediction)}. Wrap what predict returns."
        )
    (height, width), count = batch.size, _count(batch)
    scores, maps = prediction.scores, prediction.maps
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        raise ModelContractError(
            f"{where}: wanted scores of shape ({count},), found {_shape(scores)}. Return one "
            "score per image."
        )
    if maps is not None and (not isinstance(maps, Tensor) or maps.shape != (count, height, width)):
        raise ModelContractError(
            f"{where}: wanted maps of shape {(count, height, width)}, found {_shape(maps)}. "
            "Resize them to the size of the images, or return None."
        )


def _check_alone(
    name: str, place: int, alone: dict[str, Prediction], together: dict[str, Prediction]
) -> None:
    """Check that an image has the same score alone as in its batch."""
    for head, prediction in together.items():
        single, among = float(alone[head].scores[0]), float(prediction.scores[place])
        scale = float(prediction.scores.abs().max())
        if abs(single - among) > _BATCH_TOLERANCE * max(scale, abs(single)):
            raise ModelContractError(
                f"{name}, head {head}: an image has the score {among:.4g} in a batch and "
                f"{single:.4g} alone. A score must depend on its own image only: take no maximum, "
                "mean or rank over a batch, and draw no random numbers in predict."
            )


def _count(batch: Batch) -> int:
    return len(batch.get_features()[0] if batch.images is None else batch.images)


def _only(batch: Batch, place: int) -> Batch:
    """Return a batch of one of the batch's images."""
    row = slice(place, place + 1)
    images = None if batch.images is None else batch.images[row]
    features = None if batch.features is None else [layer[row] for layer in batch.features]
    return Batch(images, features, image_size=batch.image_size)


def _kind(value: object) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else _kind(value)
