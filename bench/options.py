"""The command-line options of a benchmark session; light, since every pytest session loads them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.arguments import (
    bits,
    change,
    expression,
    gigabytes,
    grid,
    positive,
    seconds,
    shots,
    size,
    whole,
)
from datasets_lib.images.geometry import FITS

Add = Callable[..., object]
"""Declares an option by its name and argparse's arguments."""


def add_options(parser: pytest.Parser) -> None:
    """Declare the options of a benchmark session.

    An option that another plugin has is declared as ``--bench-NAME``.
    """
    group = parser.getgroup("proving ground")

    def add(name: str, *, dest: str = "", **how: Any) -> None:
        dest = f"bench_{dest or name[2:].replace('-', '_')}"
        try:
            group.addoption(name, dest=dest, **how)
        except (ValueError, argparse.ArgumentError):  # the name is taken
            group.addoption(f"--bench-{name[2:]}", dest=dest, **how)

    declare_options(add)


def declare_options(add: Add) -> None:
    """Declare the options by a function that takes a name and argparse's arguments."""
    for declare in (
        _add_grid,
        _add_training,
        _add_images,
        _add_folders,
        _add_machine,
        _add_outcome,
        _add_repeats,
    ):
        declare(add)


def _add_grid(add: Add) -> None:
    """Declare the options that choose the cases."""
    add(
        "--profile",
        metavar="P",
        help="budget and recipe set: smoke, standard, original or paper (default: standard with "
        "CUDA, smoke without)",
    )
    add("--seeds", type=positive, default=1, metavar="N", help="replicates per case (default 1)")
    add("--recipes", metavar="A,B", help="comma-separated recipes, or all")
    add(
        "--plugin",
        action="append",
        type=Path,
        metavar="FILE",
        help="Python file that registers models, datasets, augmentations, metrics or studies; "
        "may repeat",
    )
    add(
        "--augmentations",
        metavar="A,B",
        help="augmentations to use instead of the studies' own, such as flips,rotation; or all",
    )
    add(
        "--shots",
        type=shots,
        default=(),
        metavar="K,L",
        help="add few-shot cases, trained on that many images, such as 1,2,4,8; each replicate has "
        "images of its own; -k shot selects only these",
    )
    add(
        "--multi-class",
        action="store_true",
        help="add cases DATASET.all: one model for all categories of a dataset",
    )


def _add_training(add: Add) -> None:
    """Declare the options that change how cases are trained."""
    add(
        "--images-seen",
        type=positive,
        metavar="N",
        help="training budget in images, instead of the profile's; such runs are stored separately",
    )
    add(
        "--set",
        action="append",
        type=change,
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of every recipe, such as epochs=5 or lr=0.01; may repeat; such runs "
        "are stored separately and never rank",
    )
    add(
        "--precision",
        choices=["float32", "bf16"],
        help="training precision (default: bf16 on CUDA and on CPUs that are faster with it); "
        "evaluation is always float32",
    )
    add(
        "--compile",
        choices=["auto", "yes", "no"],
        default="auto",
        help="compile training of classifiers (default auto: on CUDA, if predicted to save time); "
        "no also disables CUDA graphs",
    )


def _add_images(add: Add) -> None:
    """Declare the options for how images are read and shown to a model."""
    add(
        "--image-size",
        type=size,
        metavar="PX",
        help="image side instead of the default, or HEIGHTxWIDTH, such as 256x640",
    )
    add(
        "--fit",
        choices=FITS,
        default="squash",
        help="images of another aspect ratio: squash them (default), or keep their ratio and pad "
        "them with gray or crop them; metrics are always over the whole image",
    )
    add(
        "--tiles",
        type=grid,
        metavar="RxC",
        help="split images into rows and columns of tiles, such as 2x3, each of --image-size: "
        "their maps are merged, and the highest score counts",
    )
    add(
        "--overlap",
        type=whole,
        default=0,
        metavar="PX",
        help="pixels that neighboring tiles share, where their maps are blended (default 0)",
    )
    add(
        "--bits",
        type=bits,
        default=16,
        metavar="N",
        help="bits that the camera uses in 16-bit image files, such as 12 (default 16)",
    )
    add(
        "--split-by",
        type=expression,
        default="",
        metavar="PREFIX",
        help="regular expression for the start of a file name, such as 'part[0-9]+': images with "
        "the same prefix stay together where a split is made by hash",
    )
    add(
        "--max-megapixels",
        type=positive,
        metavar="N",
        help="largest image to decode, in megapixels (default: Pillow's limit, 89)",
    )


def _add_folders(add: Add) -> None:
    """Declare the options for where files are."""
    add(
        "--data-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of datasets, such as DIR/mvtec/bottle/train/good; may repeat (default: "
        "$PROVING_GROUND_DATA); datasets from `python -m bench data get` are always found",
    )
    add(
        "--weights-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of pretrained weights, such as DIR/resnet18.pth; may repeat; "
        "$PROVING_GROUND_WEIGHTS is searched, too",
    )
    add("--results-dir", type=Path, metavar="DIR", help="folder of results (default: results)")
    add("--cache-dir", type=Path, metavar="DIR", help="folder of decoded images and features")


def _add_machine(add: Add) -> None:
    """Declare the options for where cases run, with what memory and for how long."""
    add("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if available)")
    add(
        "--isolate",
        action="store_true",
        default=None,
        help="run cases in a watched child process (default with CUDA)",
    )
    add("--no-isolate", dest="isolate", action="store_false", help="run cases in this process")
    add(
        "--case-timeout",
        type=seconds,
        metavar="S",
        help="maximum wall time per case (default: 4 hours); implies --isolate",
    )
    add(
        "--stall-timeout",
        type=seconds,
        metavar="S",
        help="maximum time without progress (default: 900 s); implies --isolate",
    )
    add(
        "--workers",
        type=positive,
        default=2,
        metavar="N",
        help="threads that read a streamed dataset (default 2)",
    )
    add(
        "--host-memory",
        type=gigabytes,
        metavar="GB",
        help="stream classification sets larger than GB (default: half of the free memory)",
    )
    add(
        "--no-feature-cache",
        dest="feature_cache",
        action="store_false",
        help="recompute the features of frozen backbones for every model and pass",
    )
    add(
        "--cache-limit",
        type=gigabytes,
        metavar="GB",
        help="maximum size of cached features on disk (default: 10 GB or a fifth of the free disk)",
    )


def _add_outcome(add: Add) -> None:
    """Declare the options for what is evaluated and kept."""
    add(
        "--pixel-metrics",
        choices=["exact", "histogram"],
        default="exact",
        help="exact: sort all pixel scores where memory allows (default); histogram: count them by "
        "bin, in little memory, with a bound on the error",
    )
    add("--no-pictures", dest="plots", action="store_false", help="draw no plots of the runs")
    add("--panels", action="store_true", help="draw a picture of every test image")
    add(
        "--no-measurements",
        dest="measurements",
        action="store_false",
        help="skip speed, memory and size; evaluate quality only",
    )
    add(
        "--measure-seconds",
        type=seconds,
        default=10.0,
        metavar="S",
        help="time limit for measuring a case (default 10 s); what does not fit is left out",
    )
    add("--save-models", action="store_true", help="save every trained model")
    add(
        "--keep-maps",
        action="store_true",
        help="keep the anomaly maps of every run for ensembles, even above 100 MB",
    )


def _add_repeats(add: Add) -> None:
    """Declare the options for finished cases, and for which cases fail the session."""
    add("--rerun", action="store_true", help="run all finished cases again")
    add(
        "--keep-stale",
        action="store_true",
        help="keep finished cases even if their code, device, threads or options changed; "
        "without it they run again",
    )
    add(
        "--fail-empty",
        action="store_true",
        help="exit with code 5 if no case ran: all were skipped, already finished or not selected",
    )
    add(
        "--gate",
        action="store_true",
        help="fail cases that regressed against results/baselines/nightly/main.jsonl, confirmed by "
        "fresh runs of both commits; exit code 10 if nothing else failed",
    )
