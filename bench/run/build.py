"""Building a catalog entry's model."""

import inspect
from typing import Any

import torch

from bench.run.job import CaseSkipped, Job, WeightsError
from datasets_lib.resolve import resolve_callable
from models.catalog import MODELS, ClassifierRecipe
from models.components.base import AnomalyModel, Build, BuildClassifier, Classifier
from models.components.weights import IncompleteWeightsError, load_state


def build_model(job: Job) -> AnomalyModel:
    """The job's anomaly model on its device, drawn from the job's seed, which is set first.

    Raises:
        CaseSkipped: The weights file lacks layers that this model taps.
        WeightsError: The weights file does not fit; the message names the tensor.
    """
    build: Build = resolve_callable(MODELS[job.case.entry_name].build)
    recipe, options = job.protocol.recipe, dict(job.protocol.options)
    if recipe.loss is not None:
        options["loss"] = recipe.loss
    if recipe.gradient_checkpointing:
        options["gradient_checkpointing"] = True
    if "image_size" in inspect.signature(build).parameters:
        options["image_size"] = job.protocol.input_size
    placed: AnomalyModel = _built(job, build, **options)
    return placed


def build_classifier(job: Job, classes: int) -> Classifier:
    """The job's classifier likewise, with a head for so many classes.

    Raises:
        WeightsError: The weights file does not fit; the message names the tensor.
    """
    build: BuildClassifier = resolve_callable(MODELS[job.case.entry_name].build)
    recipe = job.protocol.recipe
    assert isinstance(recipe, ClassifierRecipe)
    placed: Classifier = _built(
        job,
        build,
        classes=classes,
        image_size=job.protocol.image_size,
        label_smoothing=recipe.label_smoothing,
        **job.protocol.options,
    )
    return placed


def _built(job: Job, build: Any, **options: Any) -> Any:
    entry = MODELS[job.case.entry_name]
    torch.manual_seed(job.seed)
    try:
        state = load_state(job.inputs.weights) if job.inputs.weights else None
        model = build(weights=entry.weights, state=state, **options)
    except IncompleteWeightsError as lacking:
        raise CaseSkipped(str(lacking)) from None
    except ValueError as error:
        raise WeightsError(str(error)) from error
    return model.to(job.device)
