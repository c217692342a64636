"""``python -m bench export``: write a saved model for other programs, and check it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.arguments import positive
from bench.commands.case_runs import model_file
from bench.commands.command import CommandError, add_cache_dir, add_data_dir, cache_dir_of
from bench.next_steps import bench_command
from bench.printable import printable

if TYPE_CHECKING:
    from bench.export.description import ExportCheck

_IMAGES = 32


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "export",
        help="write a saved model as ONNX or as a torch.export program",
        description="Preprocessing is included: 8-bit images (B, height, width, 3) go in, raw "
        "scores (B) and maps (B, h, w) come out. The file is run on real images and kept only if "
        "it agrees with the checkpoint; a JSON file next to it describes the model and the check.",
    )
    command.add_argument(
        "checkpoint",
        type=Path,
        help="file that --save-models wrote; or a case's id or a part of it, for the newest saved "
        "model in results",
    )
    command.add_argument("--format", choices=("onnx", "torch"), default="onnx")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: next to the checkpoint)"
    )
    command.add_argument("--opset", type=positive, default=18, metavar="N", help="18 to 20")
    command.add_argument("--head", help="scoring head (default: the one that ranks)")
    command.add_argument(
        "--frames",
        action="store_true",
        help="accept only images of the model's own size: a graph without resizing, for programs "
        "that resize as Pillow does",
    )
    command.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        help="images or folders to check on (default: images of the model's dataset)",
    )
    command.add_argument(
        "--max-megapixels", type=positive, metavar="N", help="as in a session (default: 89)"
    )
    add_data_dir(command)
    add_cache_dir(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.export.errors import ExportError
    from bench.export.packages import made_by

    try:
        made_by(options.format)  # before torch is imported
    except ExportError as error:
        raise CommandError(str(error)) from None
    from bench.checkpoint.metadata import CheckpointError
    from bench.ensemble.saved import is_ensemble
    from bench.export.export import description_file, export_checkpoint
    from bench.export.write import OPSETS
    from datasets_lib.images.decode import set_pixel_limit

    if options.opset not in OPSETS:
        raise CommandError(f"--opset: wanted 18 to 20, found {options.opset}.")
    options.checkpoint = model_file(options.checkpoint)
    if is_ensemble(options.checkpoint):
        raise CommandError(
            f"{printable(options.checkpoint)} is an ensemble: wanted the checkpoint of one model. "
            "Export its members' checkpoints one by one, or use the ensemble with predict."
        )
    set_pixel_limit(options.max_megapixels)
    out = _file_to_write(options)
    try:
        description = export_checkpoint(
            options.checkpoint,
            out,
            _images(options),
            form=options.format,
            opset=options.opset,
            head=options.head,
            any_size=not options.frames,
            warn=lambda text: print(text, file=sys.stderr),
        )
    except (CheckpointError, ExportError) as error:
        raise CommandError(f"{options.checkpoint}: {error}") from None
    assert description.check is not None
    print(out)
    print(description_file(out))
    _print_check(description.check)
    if options.format == "onnx":
        print(f"next: {bench_command('predict', out, 'FOLDER', extra='onnx')}", file=sys.stderr)
    return 0


def _file_to_write(options: argparse.Namespace) -> Path:
    """Return the file that was named, or one next to the checkpoint."""
    from bench.export.export import SUFFIXES

    suffix = SUFFIXES[options.format]
    out: Path = options.out or options.checkpoint.with_suffix(suffix)
    if out.suffix != suffix:
        raise CommandError(f"--out {out}: wanted a name that ends in {suffix}.")
    return out


def _print_check(check: "ExportCheck") -> None:
    """Print how far the export is from its checkpoint."""
    from bench.export.description import TOLERANCE

    own = ""
    if check.own_size_difference is not None:
        own = f", {check.own_size_difference:.1e} on {check.own_size_images} that the graph resized"
    print(
        f"largest difference from the checkpoint {check.difference:.1e} on {check.images} images "
        f"in batches of {' and '.join(map(str, check.batch_sizes))}{own} ({check.runtime})",
        file=sys.stderr,
    )
    if check.pillow_difference is not None and check.pillow_difference > TOLERANCE:
        print(
            f"images that the graph resizes differ by up to {check.pillow_difference:.1e} from "
            "training's, because this Pillow resizes some along columns first: where that matters, "
            "resize with Pillow, as python -m bench predict does",
            file=sys.stderr,
        )


def _images(options: argparse.Namespace) -> Sequence[Path]:
    """Return the images to check on: those that were named, or the dataset's."""
    from bench.predict.sources import named_frames

    if options.images:
        frames = [frame for name in options.images for frame in named_frames(name)]
        return [frame.path for frame in frames][:_IMAGES]
    return _dataset_images(options)


def _dataset_images(options: argparse.Namespace) -> Sequence[Path]:
    from bench.checkpoint.file import read_checkpoint
    from bench.export.images import dataset_images
    from datasets_lib.paths import data_dirs

    cache_dir = cache_dir_of(options)
    metadata = read_checkpoint(options.checkpoint).metadata
    return dataset_images(metadata, data_dirs(options.data_dir, cache_dir), cache_dir, _IMAGES)
