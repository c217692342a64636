"""The command-line options of a benchmark session."""

import argparse
import math
from pathlib import Path

import pytest

from bench.arguments import expression, positive
from bench.environment import cuda_present, default_precision, default_profile
from bench.protocol import PROFILES
from bench.settings import Settings
from datasets_lib.augment.catalog import AUGMENTATIONS
from datasets_lib.images.bit_depth import BITS
from datasets_lib.paths import data_dirs, default_cache_dir
from models.catalog import MODELS


def add_options(parser: pytest.Parser) -> None:
    """Declare the options of a benchmark session."""
    group = parser.getgroup("proving ground")
    add = group.addoption
    add(
        "--profile",
        choices=list(PROFILES),
        help="budget and recipe set (default: standard with CUDA, smoke without)",
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
        help="augmentations to use instead of the studies' own, such as flips,rotation",
    )
    add(
        "--images-seen",
        type=positive,
        metavar="N",
        help="training budget in images, instead of the profile's; such runs are stored separately",
    )
    add("--image-size", type=positive, metavar="PX", help="image side instead of the default")
    add(
        "--bits",
        type=int,
        choices=BITS,
        default=16,
        metavar="N",
        help="bits that the cameras fill in 16-bit image files, such as 12 (default 16)",
    )
    add(
        "--split-by",
        type=expression,
        default="",
        metavar="PREFIX",
        help="regular expression of the start of a file name, such as 'part[0-9]+': images of one "
        "prefix stay together where a split is made by hash",
    )
    add(
        "--max-megapixels",
        type=positive,
        metavar="N",
        help="size up to which images are decoded (default: Pillow's limit, 89)",
    )
    add(
        "--precision",
        choices=["float32", "bf16"],
        help="training precision (default: bf16 on CUDA and on CPUs with bf16 instructions); "
        "evaluation is always float32",
    )
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
        help="folder of pretrained weights, such as DIR/resnet18.pth; may repeat",
    )
    add("--results-dir", type=Path, metavar="DIR", help="folder of results (default: results)")
    add("--cache-dir", type=Path, metavar="DIR", help="folder of decoded images and features")
    add(
        "--workers",
        type=positive,
        default=2,
        metavar="N",
        help="threads that read a streamed dataset (default 2)",
    )
    add(
        "--host-memory",
        type=_gigabytes,
        metavar="GB",
        help="stream classification sets larger than GB (default: half of the free memory)",
    )
    add(
        "--pixel-metrics",
        choices=["exact", "histogram"],
        default="exact",
        help="exact: sort all pixel scores where memory allows (default); histogram: count them by "
        "bin, in little memory, with a bound on the error",
    )
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
        type=float,
        metavar="S",
        help="maximum wall time per case (default: 4 hours); implies --isolate",
    )
    add(
        "--stall-timeout",
        type=float,
        metavar="S",
        help="maximum time without progress (default: 900 s); implies --isolate",
    )
    add(
        "--compile",
        choices=["auto", "yes", "no"],
        default="auto",
        help="compile training of classifiers (default auto: on CUDA, if predicted to save time); "
        "no also disables CUDA graphs",
    )
    add(
        "--no-feature-cache",
        dest="feature_cache",
        action="store_false",
        help="recompute the features of frozen backbones for every model and pass",
    )
    add(
        "--cache-limit",
        type=_gigabytes,
        metavar="GB",
        help="maximum size of cached features on disk (default: 10 GB or a fifth of the free disk)",
    )
    add("--no-pictures", dest="plots", action="store_false", help="draw no plots of the runs")
    add(
        "--no-measurements",
        dest="measurements",
        action="store_false",
        help="skip speed, memory and size; evaluate quality only",
    )
    add(
        "--measure-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds to measure a case in (default 10); what does not fit is left out",
    )
    add("--rerun", action="store_true", help="run all finished cases again")
    add(
        "--keep-stale",
        action="store_true",
        help="keep finished cases although their code, device, threads or options changed; "
        "without it they run again",
    )
    add("--save-models", action="store_true", help="save every trained model")


def plugin_files(config: pytest.Config) -> tuple[Path, ...]:
    """Return the absolute paths of the files given with ``--plugin``."""
    return _folders(config.getoption("--plugin"))


def settings_of(config: pytest.Config) -> Settings:
    """Return the settings of a session."""
    option = config.getoption
    device = option("--device") or ("cuda" if cuda_present() else "cpu")
    if device.partition(":")[0] not in {"cpu", "cuda"}:
        raise pytest.UsageError(f"--device: wanted cpu, cuda or cuda:N, found '{device}'")
    profile = option("--profile") or ("smoke" if device == "cpu" else default_profile())
    timeout, stall = option("--case-timeout"), option("--stall-timeout")
    isolate = option("isolate")
    if isolate is None:
        isolate = device != "cpu" or timeout is not None or stall is not None
    cache_dir = (option("--cache-dir") or default_cache_dir()).expanduser().absolute()
    return Settings(
        profile=profile,
        device=device,
        data_dirs=data_dirs(option("--data-dir"), cache_dir),
        weights_dirs=_folders(option("--weights-dir")),
        results_dir=(option("--results-dir") or config.rootpath / "results").absolute(),
        cache_dir=cache_dir,
        seeds=option("--seeds"),
        plugins=plugin_files(config),
        recipes=_recipes(option("--recipes")),
        augmentations=_augmentations(option("--augmentations")),
        images_seen=option("--images-seen"),
        image_size=option("--image-size"),
        bits=option("--bits"),
        split_by=option("--split-by"),
        max_megapixels=option("--max-megapixels"),
        precision=option("--precision") or default_precision(device),
        isolate=isolate,
        timeout_s=timeout or 4 * 3600.0,
        stall_timeout_s=stall or 900.0,
        compiling=option("--compile"),
        rerun=option("--rerun"),
        keep_stale=option("--keep-stale"),
        save_models=option("--save-models"),
        workers=option("--workers"),
        host_memory=option("--host-memory"),
        pixel_metrics=option("--pixel-metrics"),
        feature_cache=option("feature_cache"),
        cache_limit=option("--cache-limit"),
        plots=option("plots"),
        measurements=option("measurements"),
        measure_seconds=option("--measure-seconds"),
    )


def _recipes(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    known = {recipe for entry in MODELS.values() for recipe in entry.recipes}
    if text == "all":
        return tuple(sorted(known))
    recipes = tuple(text.split(","))
    if unknown := [recipe for recipe in recipes if recipe not in known]:
        wanted = ", ".join(sorted(known))
        raise pytest.UsageError(
            f"--recipes: no recipe {', '.join(map(repr, unknown))}; there are {wanted}"
        )
    return recipes


def _augmentations(text: str | None) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else ()
    offered = sorted(AUGMENTATIONS)
    if unknown := [name for name in names if name not in offered]:
        raise pytest.UsageError(
            f"--augmentations: no augmentation {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(offered)}"
        )
    return names


def _folders(given: list[Path] | None) -> tuple[Path, ...]:
    return tuple(folder.expanduser().absolute() for folder in given or [])


def _gigabytes(text: str) -> int:
    """Parse a number of GB into bytes."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number of GB from 0, found '{text}'")
    return round(size * 1e9)
