"""Building a catalog entry's model."""

import inspect
from typing import Any

import torch

from bench.protocol import Protocol
from bench.run.contract import check_build, check_built
from bench.run.job import CaseSkipped, Job, RecipeError, WeightsError
from models.catalog import MODELS, ClassifierRecipe
from models.components.base import AnomalyModel, Classifier
from models.components.errors import ImageSizeError
from models.components.frozen_backbone import FrozenBackbone
from models.components.image_size import height_width
from models.components.weights import IncompleteWeightsError, load_state
from models.components.winograd import use_winograd


def build_model(job: Job) -> AnomalyModel:
    """Return the job's anomaly model on its device, drawn from the job's seed, which is set first.

    Raises:
        CaseSkipped: The weights file lacks layers that this model taps.
        ImageSizeError: The model takes no images of this size.
        RecipeError: The model cannot be built with these options.
        WeightsError: The weights file does not fit; the message names the tensor.
    """
    model: AnomalyModel = _build(job, **anomaly_options(job.case.model, job.protocol))
    if not job.protocol.normalize and model.backbone is not None:
        for module in model.backbone.modules():  # a pyramid has several backbones
            if isinstance(module, FrozenBackbone):
                module.mean.zero_()
                module.std.fill_(1.0)
    return model


def anomaly_options(name: str, protocol: Protocol) -> dict[str, Any]:
    """Return the keyword arguments that an anomaly model is built with under a protocol."""
    recipe, options = protocol.recipe, dict(protocol.options)
    if recipe.loss is not None:
        options["loss"] = recipe.loss
    if recipe.gradient_checkpointing:
        options["gradient_checkpointing"] = True
    if "image_size" in inspect.signature(MODELS[name].load_build()).parameters:
        options["image_size"] = protocol.input_size
    return options


def build_classifier(job: Job, classes: int) -> Classifier:
    """Return the job's classifier with a head for the given number of classes.

    Raises:
        WeightsError: The weights file does not fit; the message names the tensor.
    """
    model: Classifier = _build(job, **classifier_options(job.protocol, classes))
    return model


def classifier_options(protocol: Protocol, classes: int) -> dict[str, Any]:
    """Return the keyword arguments that a classifier is built with under a protocol."""
    recipe = protocol.recipe
    assert isinstance(recipe, ClassifierRecipe)
    return {
        "classes": classes,
        "image_size": height_width(protocol.image_size)[0],  # square: see `shape_problem`
        "label_smoothing": recipe.label_smoothing,
        **protocol.options,
    }


def _build(job: Job, **options: Any) -> Any:
    torch.manual_seed(job.seed)
    try:
        state = load_state(job.inputs.weights) if job.inputs.weights else None
        entry = MODELS[job.case.model]
        build, arguments = entry.load_build(), {"weights": entry.weights, "state": state, **options}
        check_build(build, job.case.model, arguments)
        model = build(**arguments)
    except IncompleteWeightsError as error:
        raise CaseSkipped(str(error)) from None
    except ImageSizeError:
        raise
    except ValueError as error:
        raise (WeightsError if job.inputs.weights else RecipeError)(str(error)) from error
    check_built(model, job.case.model)
    use_winograd(model)
    return model.to(job.settings.device)
