"""The command line options of a benchmark session, and the settings they make."""

import argparse
import math
from pathlib import Path

import pytest

from bench.environment import cuda_present, default_precision, default_profile
from bench.protocol import PROFILES
from bench.settings import Settings
from datasets_lib.augment.catalog import AUGMENTATIONS
from datasets_lib.paths import data_dirs, default_cache_dir
from models.catalog import MODELS


def add_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("proving ground")
    add = group.addoption
    add(
        "--profile",
        choices=list(PROFILES),
        help="budget and recipe set (default: standard with CUDA, smoke without)",
    )
    add("--seeds", type=_positive, default=1, metavar="N", help="replicates a case (default 1)")
    add("--recipes", metavar="A,B", help="recipes, comma separated, or all")
    add(
        "--augmentations",
        metavar="A,B",
        help="augmentations of the cases instead of the studies' own, such as flips,rotation",
    )
    add(
        "--images-seen",
        type=_positive,
        metavar="N",
        help="training budget in images instead of the profile's; kept apart in the store",
    )
    add("--image-size", type=_positive, metavar="PX", help="side of the images, likewise")
    add(
        "--precision",
        choices=["float32", "bf16"],
        help="of training (default: bf16 on CUDA and on CPUs that have it); evaluation is float32",
    )
    add(
        "--data-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of datasets, DIR/mvtec/bottle/train/good; may repeat "
        "(default: $PROVING_GROUND_DATA); what bench data get fetched is always found",
    )
    add(
        "--weights-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of pretrained weights, DIR/resnet18.pth; may repeat",
    )
    add("--results-dir", type=Path, metavar="DIR", help="where results go (default: results)")
    add("--cache-dir", type=Path, metavar="DIR", help="where decoded images are kept")
    add(
        "--workers",
        type=_positive,
        default=2,
        metavar="N",
        help="threads that read batches of a streamed set (default 2)",
    )
    add(
        "--host-memory",
        type=_gigabytes,
        metavar="GB",
        help="stream a classification set of image files whose pixels take more than GB x 10^9 "
        "bytes, even where it would fit: nothing more than the buffers of its batches is then "
        "held for images (default: stream what takes more than half of the free memory)",
    )
    add(
        "--pixel-metrics",
        choices=["exact", "histogram"],
        default="exact",
        help="sort the scores of all pixels, where memory allows (default), or count them by bin, "
        "which takes little memory and gives each figure with a bound of its error",
    )
    add("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda where it is)")
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
        help="wall time a case (default 4 hours); implies --isolate",
    )
    add(
        "--stall-timeout",
        type=float,
        metavar="S",
        help="time a case may go without a sign of life (default 900 s); implies --isolate",
    )
    add(
        "--compile",
        choices=["auto", "yes", "no"],
        default="auto",
        help="compile classifiers' training (default auto: on CUDA, where it is predicted to pay); "
        "'no' also leaves out CUDA graphs",
    )
    add(
        "--no-feature-cache",
        dest="feature_cache",
        action="store_false",
        help="compute a frozen backbone's features anew for every model and pass",
    )
    add(
        "--cache-limit",
        type=_gigabytes,
        metavar="GB",
        help="room for features in the cache folder, in 10^9 bytes (default: 10, or a fifth of the "
        "free disk where that is less)",
    )
    add(
        "--no-pictures", dest="pictures", action="store_false", help="leave no pictures of the runs"
    )
    add(
        "--no-measurements",
        dest="measurements",
        action="store_false",
        help="measure no speed, memory or size: only what the model is worth",
    )
    add("--rerun", action="store_true", help="run finished cases again")
    add("--save-models", action="store_true", help="keep every trained model")


def settings_of(config: pytest.Config) -> Settings:
    """The settings a session's options make."""
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
        recipes=_recipes(option("--recipes")),
        augmentations=_augmentations(option("--augmentations")),
        images_seen=option("--images-seen"),
        image_size=option("--image-size"),
        precision=option("--precision") or default_precision(device),
        isolate=isolate,
        timeout_s=timeout or 4 * 3600.0,
        stall_timeout_s=stall or 900.0,
        compiling=option("--compile"),
        rerun=option("--rerun"),
        save_models=option("--save-models"),
        workers=option("--workers"),
        host_memory=option("--host-memory"),
        pixel_metrics=option("--pixel-metrics"),
        feature_cache=option("feature_cache"),
        cache_limit=option("--cache-limit"),
        plots=option("pictures"),
        measurements=option("measurements"),
    )


def _recipes(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    known = {recipe for entry in MODELS.values() for recipe in entry.recipes}
    if text == "all":
        return tuple(sorted(known))
    recipes = tuple(text.split(","))
    if unknown := [recipe for recipe in recipes if recipe not in known]:
        raise pytest.UsageError(
            f"--recipes: no recipe {', '.join(map(repr, unknown))}; there are {', '.join(sorted(known))}"
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
    """Bytes of a number of GB."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number of GB from 0, found '{text}'")
    return round(size * 1e9)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, found '{text}'")
    return int(text)
