"""``python -m bench distill``: train the teacher of EfficientAD."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from bench.commands.command import CommandError, add_weights_dir, weights_dirs_of
from bench.commands.making_weights import (
    add_options,
    check_numbers,
    device_of,
    output_file,
    report_lines,
    train_and_save,
    training_images,
)

if TYPE_CHECKING:
    import torch

    from bench.run.weights_training.patch_targets import PatchTargets
    from models.components.weights import ResolvedWeights

_CNNS = ("resnet", "wide_resnet", "convnext")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "distill",
        help="train EfficientAD's teacher on the features of a CNN",
        description="Train a patch description network to reproduce the features of a frozen CNN, "
        "as EfficientAD's teacher was trained. The same command resumes a killed run.",
    )
    command.add_argument("network", choices=("small", "medium"))
    command.add_argument(
        "--backbone",
        default="wide_resnet50_2.tv_in1k",
        metavar="TAG",
        help="weights of the CNN (default: %(default)s; the paper's is wide_resnet101_2)",
    )
    command.add_argument(
        "--layers",
        default="2,3",
        metavar="N,N",
        help="stages of the CNN, 1 to 4 (default: %(default)s)",
    )
    add_options(
        command,
        "pdn_small.pth",
        "side of the network's input in pixels; the CNN sees twice as many",
    )
    add_weights_dir(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    out = output_file(options)
    check_numbers(options)
    layers = _layers(options.layers)
    weights = _weights(options)
    from bench.run.weights_training.distill import DistillationPlan, distill

    device = device_of(options)
    targets = _targets(options.backbone, weights, layers, device)
    source = training_images(options, 2 * options.size)
    plan = DistillationPlan(
        size=options.network,
        backbone=f"{options.backbone} {weights.sha256}",
        layers=layers,
        images=f"{len(source.images)} of {source.name}",
        side=options.size,
        steps=options.steps,
        batch=options.batch,
    )
    print(f"backbone  {options.backbone} layers {options.layers} ({weights.path})", flush=True)
    distilled = train_and_save(
        f"distilling pdn_{options.network}",
        partial(distill, plan, source.images, targets, device),
        out,
    )
    held_out = (
        f"held out  {distilled.held_out:.4f}, predicting the mean: {distilled.trivial:.4f}; "
        f"{distilled.explained:.1%} of the variance explained"
    )
    tag = f"pdn_{options.network}.distilled"
    print("\n".join(report_lines(distilled, [held_out], out, tag)))
    return 0


def _layers(text: str) -> tuple[int, ...]:
    numbers = {int(part) for part in text.split(",") if part.strip() in {"1", "2", "3", "4"}}
    if len(numbers) != len(text.split(",")):
        raise CommandError(f"--layers {text}: wanted distinct stages from 1 to 4, such as 2,3.")
    return tuple(sorted(numbers))


def _weights(options: argparse.Namespace) -> "ResolvedWeights":
    from datasets_lib.download.fetch import download_weights
    from models.catalog import WEIGHTS
    from models.components.weights import WeightsMissingError, resolve

    cnns = [tag for tag, entry in WEIGHTS.items() if entry.architecture.startswith(_CNNS)]
    if options.backbone not in cnns:
        raise CommandError(
            f"--backbone {options.backbone}: wanted the weights of a CNN: {', '.join(cnns)}."
        )

    try:
        return resolve(options.backbone, weights_dirs_of(options), download_weights)
    except (WeightsMissingError, ValueError) as error:
        raise CommandError(str(error)) from None


def _targets(
    tag: str, weights: "ResolvedWeights", layers: tuple[int, ...], device: "torch.device"
) -> "PatchTargets":
    from bench.run.weights_training.patch_targets import PatchTargets
    from models.catalog import WEIGHTS
    from models.components.backbone import Backbone
    from models.components.weights import load_state
    from models.components.winograd import use_winograd

    try:
        backbone = Backbone(WEIGHTS[tag], load_state(weights), layers)
    except ValueError as error:
        raise CommandError(str(error)) from None
    use_winograd(backbone)
    return PatchTargets(backbone).to(device)
