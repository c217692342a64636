"""Building a catalog entry's model."""

import importlib
from typing import Any

import torch

from bench.run.job import Job, WeightsError
from models.catalog import MODELS
from models.interface import Build, GradientAnomalyModel
from models.weights import load_state


def build_model(job: Job) -> GradientAnomalyModel:
    """The job's model on its device, drawn from the job's seed, which is set first.

    Raises:
        WeightsError: The weights file does not fit; the message names the tensor.
    """
    entry = MODELS[job.case.entry_name]
    module, _, function = entry.build.partition(":")
    build: Build = getattr(importlib.import_module(module), function)
    torch.manual_seed(job.seed)
    try:
        model: Any = build(
            weights=entry.weights,
            state=load_state(job.inputs.weights) if job.inputs.weights else None,
            loss=job.protocol.recipe.loss,
            gradient_checkpointing=job.protocol.recipe.gradient_checkpointing,
            **entry.options,
        )
    except ValueError as error:
        raise WeightsError(str(error)) from error
    placed: GradientAnomalyModel = model.to(job.device)
    return placed
