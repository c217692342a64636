"""What the commands that make weights share: options, images, device, training and its report."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.commands.command import (
    CommandError,
    add_cache_dir,
    add_data_dir,
    cache_dir_of,
    data_dirs_of,
)
from bench.commands.output import ProgressBar
from datasets_lib.paths import absolute_path

if TYPE_CHECKING:
    import torch

    from bench.run.job import ProgressCallback
    from bench.run.weights_training.common import TrainedWeights
    from datasets_lib.batches.textures import TextureSource

SIDE_MULTIPLE = 8
"""Sides of images are multiples of this."""

_ENDINGS = (".pth", ".pt", ".bin")
_TEXTURES = ("imagenette2", "dtd")
_PROCEDURAL = "procedural"

Trained = TypeVar("Trained", bound="TrainedWeights")


def add_options(command: argparse.ArgumentParser, file: str, side_help: str) -> None:
    """Add ``--out``, ``--images``, ``--steps``, ``--batch``, ``--size``, ``--device`` and folders.

    Args:
        command: The command's parser.
        file: Example of a file to write.
        side_help: Meaning of ``--size``.
    """
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"file to write, such as DIR/{file}",
    )
    command.add_argument(
        "--images",
        metavar="DATASET",
        help=f"{' or '.join(_TEXTURES)}, or {_PROCEDURAL} for generated textures (default: the "
        "first available; the paper uses ImageNet)",
    )
    for name, default, meaning in (
        ("--steps", 60_000, "optimizer steps"),
        ("--batch", 16, "batch size"),
        ("--size", 256, side_help),
    ):
        command.add_argument(
            name, type=int, default=default, metavar="N", help=f"{meaning} (default: %(default)s)"
        )
    command.add_argument("--device", metavar="NAME", help="default: cuda if there is one, else cpu")
    add_data_dir(command)
    add_cache_dir(command)


def output_file(options: argparse.Namespace) -> Path:
    """Return the file to write.

    Raises:
        CommandError: It exists, or its suffix is not one of torch's.
    """
    out: Path = absolute_path(options.out)
    if out.suffix not in _ENDINGS:
        wanted = ", ".join(_ENDINGS)
        raise CommandError(f"--out {options.out}: wanted a file that ends in {wanted}.")
    if out.exists():
        raise CommandError(f"--out {options.out} already exists. Remove it, or name another.")
    return out


def check_numbers(options: argparse.Namespace) -> None:
    """Raise `CommandError` unless steps, batch size and side are valid numbers."""
    for name in ("steps", "batch"):
        if getattr(options, name) < 1:
            raise CommandError(f"--{name} {getattr(options, name)}: wanted at least 1.")
    if options.size < SIDE_MULTIPLE or options.size % SIDE_MULTIPLE:
        raise CommandError(f"--size {options.size}: wanted a multiple of {SIDE_MULTIPLE}.")


def device_of(options: argparse.Namespace) -> "torch.device":
    """Return the device to compute on.

    Raises:
        CommandError: There is no such device.
    """
    from bench.environment import cuda_present
    from bench.run.device import DeviceError, use_device

    try:
        return use_device(options.device or ("cuda" if cuda_present() else "cpu"))
    except (DeviceError, RuntimeError) as error:
        raise CommandError(f"--device {options.device}: {error}") from None


def training_images(options: argparse.Namespace, side: int) -> "TextureSource":
    """Return images of a given side in pixels, and print where they come from.

    Raises:
        CommandError: The set is unknown, missing or too small.
    """
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
                f"--images {options.images}: found in no data folder. Get it with "
                f"{dataset_remedy(entry.name)}"
            )
        wanted = (entry.name,)
    cache = DecodeCache(cache_dir_of(options))
    with ProgressBar("decoding images", "images") as progress:
        source = texture_source(datasets, side, cache, wanted, progress)
    summary = f"{len(source.images):,} of {source.name}"
    if source.name == PROCEDURAL:
        summary = f"{len(source.images):,} generated textures instead of photographs"
        if options.images is None:
            summary += f", which are missing: {dataset_remedy(_TEXTURES[0])}"
    elif len(source.images) < 2:
        raise CommandError(
            f"{source.name} has one image: wanted at least two. Get the whole dataset."
        )
    print(f"images    {summary}", flush=True)
    return source


def train_and_save(
    label: str, train: "Callable[[Path, ProgressCallback], Trained]", out: Path
) -> Trained:
    """Train with a progress bar and save the tensors; a killed training leaves its state.

    Args:
        label: Name of the training.
        train: Trains; given the file that the state is kept in, and what to tell the progress.
        out: File to write.

    Raises:
        CommandError: The training cannot go on.
    """
    from bench.atomic import save_tensors
    from bench.run.weights_training.common import WeightsTrainingError

    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with ProgressBar(label, "steps") as progress:

            def report(_phase: str, info: dict[str, Any]) -> None:
                progress(info["step"], info["steps"])

            trained = train(unfinished, report)
    except WeightsTrainingError as error:
        raise CommandError(str(error)) from None
    save_tensors(trained.state, out)
    unfinished.unlink(missing_ok=True)
    return trained


def report_lines(
    trained: "TrainedWeights", held_out: Sequence[str], out: Path, tag: str
) -> list[str]:
    """Return what came out of a training, and how to use the weights.

    Args:
        trained: The result.
        held_out: Lines about the images that were held out.
        out: The file of the weights.
        tag: Their tag in the catalog.
    """
    from models.catalog import WEIGHTS

    stems = WEIGHTS[tag].file_stems
    rename = "" if out.stem in stems else f"rename it to {stems[0]}{out.suffix}, then "
    lines = [
        f"loss      {trained.first:.4f} at the beginning, {trained.last:.4f} at the end",
        *held_out,
        f"saved     {out}",
        f"use it    {rename}--weights-dir {out.parent}",
    ]
    resumed = f"resumed   at step {trained.resumed_at:,}"
    return [resumed, *lines] if trained.resumed_at else lines
