"""``python -m bench distill``: train the teacher of EfficientAD, which no library ships."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.command import (
    CommandError,
    add_cache_dir,
    add_data_dir,
    add_weights_dir,
    cache_dir_of,
    data_dirs_of,
    folders,
)
from bench.commands.output import ProgressBar

if TYPE_CHECKING:
    import torch

    from bench.run.distillation.distill import Distilled, Plan
    from bench.run.distillation.patch_targets import PatchTargets
    from datasets_lib.batches.textures import TextureSource
    from models.components.weights import ResolvedWeights

_CNNS = ("resnet", "wide_resnet", "convnext")
_SIDE = 8
"""Sides are multiples of this: twice the stride of 4, for the backbone sees twice the size."""

_TEXTURES = ("imagenette2", "dtd")
_PROCEDURAL = "procedural"


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
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, such as DIR/pdn_small.pth",
    )
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
    command.add_argument(
        "--images",
        metavar="DATASET",
        help=f"{' or '.join(_TEXTURES)}, or {_PROCEDURAL} for drawn textures (default: the first "
        "available; the paper uses ImageNet)",
    )
    for name, default, meaning in (
        ("--steps", 60_000, "optimizer steps"),
        ("--batch", 16, "batch size"),
        ("--size", 256, "side of the network's input in pixels; the CNN sees twice as many"),
    ):
        command.add_argument(
            name, type=int, default=default, metavar="N", help=f"{meaning} (default: %(default)s)"
        )
    command.add_argument("--device", metavar="NAME", help="default: cuda if there is one, else cpu")
    add_data_dir(command)
    add_weights_dir(command)
    add_cache_dir(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    out = _out(options)
    _check_numbers(options)
    weights = _weights(options)
    from bench.atomic import save_tensors
    from bench.environment import cuda_present
    from bench.run.device import DeviceError, use_device
    from bench.run.distillation.distill import DistillationError, Plan, distill

    try:
        device = use_device(options.device or ("cuda" if cuda_present() else "cpu"))
    except (DeviceError, RuntimeError) as error:
        raise CommandError(f"--device {options.device}: {error}") from None
    layers = _layers(options.layers)
    targets = _targets(options.backbone, weights, layers, device)
    source = _images(options)
    plan = Plan(
        size=options.network,
        backbone=f"{options.backbone} {weights.sha256}",
        layers=layers,
        images=f"{len(source.images)} of {source.name}",
        side=options.size,
        steps=options.steps,
        batch=options.batch,
    )
    print(f"backbone  {options.backbone} layers {options.layers} ({weights.path})", flush=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with ProgressBar(f"distilling pdn_{options.network}", "steps") as progress:

            def report(_phase: str, info: dict[str, Any]) -> None:
                progress(info["step"], info["steps"])

            distilled = distill(plan, source.images, targets, device, unfinished, report)
    except DistillationError as error:
        raise CommandError(str(error)) from None
    save_tensors(distilled.state, out)
    unfinished.unlink(missing_ok=True)
    print("\n".join(_report(plan, distilled, out)))
    return 0


def _out(options: argparse.Namespace) -> Path:
    from models.components.weights import SUFFIXES

    out: Path = options.out.expanduser().absolute()
    endings = [ending for ending in SUFFIXES if ending != ".safetensors"]
    if out.suffix not in endings:
        raise CommandError(f"--out {options.out}: wanted a file that ends in {', '.join(endings)}.")
    if out.exists():
        raise CommandError(f"--out {options.out} exists already. Remove it, or name another.")
    return out


def _check_numbers(options: argparse.Namespace) -> None:
    for name in ("steps", "batch"):
        if getattr(options, name) < 1:
            raise CommandError(f"--{name} {getattr(options, name)}: wanted at least 1.")
    if options.size < _SIDE or options.size % _SIDE:
        raise CommandError(f"--size {options.size}: wanted a multiple of {_SIDE}.")
    _layers(options.layers)


def _layers(text: str) -> tuple[int, ...]:
    numbers = {int(part) for part in text.split(",") if part.strip() in {"1", "2", "3", "4"}}
    if len(numbers) != len(text.split(",")):
        raise CommandError(f"--layers {text}: wanted distinct stages from 1 to 4, such as 2,3.")
    return tuple(sorted(numbers))


def _weights(options: argparse.Namespace) -> "ResolvedWeights":
    from datasets_lib.download.fetch import download
    from models.catalog import WEIGHTS
    from models.components.weights import WeightsMissingError, resolve

    cnns = [tag for tag, entry in WEIGHTS.items() if entry.architecture.startswith(_CNNS)]
    if options.backbone not in cnns:
        raise CommandError(
            f"--backbone {options.backbone}: wanted the weights of a CNN: {', '.join(cnns)}."
        )

    def fetch(url: str, target: Path, sha256_prefix: str | None) -> None:
        download(url, target, checksum=f"sha256:{sha256_prefix}" if sha256_prefix else None)

    try:
        return resolve(options.backbone, folders(options.weights_dir), fetch)
    except (WeightsMissingError, ValueError) as error:
        raise CommandError(str(error)) from None


def _targets(
    tag: str, weights: "ResolvedWeights", layers: tuple[int, ...], device: "torch.device"
) -> "PatchTargets":
    from bench.run.distillation.patch_targets import PatchTargets
    from models.catalog import WEIGHTS
    from models.components.backbone import Backbone
    from models.components.weights import load_state

    try:
        backbone = Backbone(WEIGHTS[tag], load_state(weights), layers)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return PatchTargets(backbone).to(device)


def _images(options: argparse.Namespace) -> "TextureSource":
    """Return the images, at twice the network's size, and print where they are from."""
    from bench.commands.data_folders import searchable
    from bench.remedy import dataset_remedy
    from datasets_lib.batches.textures import PROCEDURAL, texture_source
    from datasets_lib.cache.decode_cache import DecodeCache
    from datasets_lib.catalog import entry_named
    from datasets_lib.discover import available_datasets

    datasets = available_datasets(searchable(data_dirs_of(options)))
    wanted: tuple[str, ...] = _TEXTURES
    if options.images == PROCEDURAL:
        wanted = ()
    elif options.images is not None:
        entry = entry_named(options.images)
        if entry is None or entry.name not in _TEXTURES:
            raise CommandError(
                f"--images {options.images}: wanted {', '.join(_TEXTURES)} or {PROCEDURAL}."
            )
        if entry.name not in datasets:
            raise CommandError(
                f"--images {options.images}: it is in no data folder. Get it with "
                f"{dataset_remedy(entry.name)}"
            )
        wanted = (entry.name,)
    cache = DecodeCache(cache_dir_of(options))
    with ProgressBar("decoding images", "images") as progress:
        source = texture_source(datasets, 2 * options.size, cache, wanted, progress)
    summary = f"{len(source.images):,} of {source.name}"
    if source.name == PROCEDURAL:
        summary = f"{len(source.images):,} drawn textures instead of photographs"
        if options.images is None:
            summary += f", which are missing: {dataset_remedy(_TEXTURES[0])}"
    elif len(source.images) < 2:
        raise CommandError(
            f"{source.name} has one image: wanted at least two. Get the whole dataset."
        )
    print(f"images    {summary}", flush=True)
    return source


def _report(plan: "Plan", distilled: "Distilled", out: Path) -> list[str]:
    from models.catalog import WEIGHTS

    lines = [
        f"loss      {distilled.first:.4f} at the beginning, {distilled.last:.4f} at the end",
        f"held out  {distilled.held_out:.4f}, predicting the mean: "
        f"{distilled.trivial:.4f}; {distilled.explained:.1%} of the variance explained",
        f"saved     {out}",
    ]
    if distilled.resumed_at:
        lines.insert(0, f"resumed   at step {distilled.resumed_at:,}")
    stems = WEIGHTS[f"pdn_{plan.size}.distilled"].file_stems
    if out.stem in stems:
        lines.append(f"use it    --weights-dir {out.parent}")
    else:
        lines.append(
            f"use it    rename it to {stems[0]}{out.suffix}, and name its folder with --weights-dir"
        )
    return lines
