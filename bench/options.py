"""The command-line options of a benchmark session; light, since every pytest session loads them."""

import argparse
import math
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.arguments import expression, grid, positive, size, whole
from datasets_lib.images.geometry import FITS

if TYPE_CHECKING:
    from bench.settings import Settings


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


def declare_options(add: Callable[..., object]) -> None:
    """Declare the options by a function that takes a name and argparse's arguments."""
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
        type=_shots,
        default=(),
        metavar="K,L",
        help="add few-shot cases, trained on that many images, such as 1,2,4,8; -k shot selects "
        "them alone",
    )
    add(
        "--multi-class",
        action="store_true",
        help="add cases DATASET.all: one model for all categories of a dataset",
    )
    add(
        "--images-seen",
        type=positive,
        metavar="N",
        help="training budget in images, instead of the profile's; such runs are stored separately",
    )
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
        help="images of another aspect: squash them (default), or keep their aspect and pad them "
        "with gray or crop them; metrics are always over the whole image",
    )
    add(
        "--tiles",
        type=grid,
        metavar="RxC",
        help="see an image as rows and columns of tiles, such as 2x3, each of --image-size: their "
        "maps are merged, their highest score counts",
    )
    add(
        "--overlap",
        type=whole,
        default=0,
        metavar="PX",
        help="pixels that neighboring tiles share, where their maps are blended (default 0)",
    )
    add(
        "--set",
        action="append",
        type=_change,
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of every recipe, such as epochs=5 or lr=0.01; may repeat; such runs "
        "are stored separately and never rank",
    )
    add(
        "--bits",
        type=_bits,
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
        type=_seconds,
        metavar="S",
        help="maximum wall time per case (default: 4 hours); implies --isolate",
    )
    add(
        "--stall-timeout",
        type=_seconds,
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
    add("--panels", action="store_true", help="draw a picture of every test image")
    add(
        "--no-measurements",
        dest="measurements",
        action="store_false",
        help="skip speed, memory and size; evaluate quality only",
    )
    add(
        "--measure-seconds",
        type=_seconds,
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
    add(
        "--fail-empty",
        action="store_true",
        help="exit with code 5 if no case was run, be it skipped, finished before or not selected",
    )
    add(
        "--gate",
        action="store_true",
        help="fail cases that regressed against results/baselines/nightly/main.jsonl, confirmed by "
        "fresh runs of both commits; exit code 10 if nothing else failed",
    )
    add("--save-models", action="store_true", help="save every trained model")
    add(
        "--keep-maps",
        action="store_true",
        help="keep the anomaly maps of every run for ensembles, also those above 100 MB",
    )


def plugin_files(config: pytest.Config) -> tuple[Path, ...]:
    """Return the absolute paths of the files given with ``--plugin``."""
    return _absolute(config.option.bench_plugin)


def settings_of(config: pytest.Config) -> "Settings":
    """Return the settings of a session, whose plugins are loaded; see `settings_from`."""
    return settings_from(config.option, _home(config))


def settings_from(option: argparse.Namespace, home: Path) -> "Settings":
    """Return the settings that options ask for, once plugins are loaded.

    Args:
        option: Values of the options that `declare_options` declares.
        home: Folder that holds ``results`` unless an option names another.

    Raises:
        pytest.UsageError: The value of an option is wrong; the message says which and what is
            offered.
    """
    from bench.environment import cuda_present, default_precision, default_profile
    from bench.protocol import PROFILES
    from bench.settings import Settings
    from datasets_lib.augment.catalog import AUGMENTATIONS
    from datasets_lib.paths import data_dirs, default_cache_dir
    from models.catalog import MODELS

    device = option.bench_device or ("cuda" if cuda_present() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise pytest.UsageError(f"--device: wanted cpu, cuda or cuda:N, found '{device}'")
    profile = option.bench_profile or ("smoke" if device == "cpu" else default_profile())
    _check_names("--profile", [profile], PROFILES)
    timeout, stall = option.bench_case_timeout, option.bench_stall_timeout
    isolate = option.bench_isolate
    if isolate is None:
        isolate = device != "cpu" or timeout is not None or stall is not None
    cache_dir = (option.bench_cache_dir or default_cache_dir()).expanduser().absolute()
    results_dir = (option.bench_results_dir or home / "results").expanduser().absolute()
    if not option.collectonly:
        _check_writable("--cache-dir", cache_dir)
        _check_writable("--results-dir", results_dir)
    recipes = option.bench_recipes
    return Settings(
        profile=profile,
        device=device,
        data_dirs=data_dirs(option.bench_data_dir, cache_dir),
        weights_dirs=_weights_dirs(option.bench_weights_dir),
        results_dir=results_dir,
        cache_dir=cache_dir,
        seeds=option.bench_seeds,
        plugins=_absolute(option.bench_plugin),
        recipes=_names("--recipes", recipes, {r for m in MODELS.values() for r in m.recipes}),
        augmentations=_names("--augmentations", option.bench_augmentations, AUGMENTATIONS) or (),
        shots=option.bench_shots,
        multi_class=option.bench_multi_class,
        images_seen=option.bench_images_seen,
        image_size=option.bench_image_size,
        fit=option.bench_fit,
        tiles=option.bench_tiles,
        overlap=option.bench_overlap if option.bench_tiles else 0,
        bits=option.bench_bits,
        split_by=option.bench_split_by,
        max_megapixels=option.bench_max_megapixels,
        precision=option.bench_precision or default_precision(device),
        isolate=isolate,
        timeout_s=timeout or 4 * 3600.0,
        stall_timeout_s=stall or 900.0,
        compiling=option.bench_compile,
        rerun=option.bench_rerun,
        keep_stale=option.bench_keep_stale,
        save_models=option.bench_save_models,
        keep_maps=option.bench_keep_maps,
        workers=option.bench_workers,
        host_memory=option.bench_host_memory,
        pixel_metrics=option.bench_pixel_metrics,
        feature_cache=option.bench_feature_cache,
        cache_limit=option.bench_cache_limit,
        plots=option.bench_plots,
        measurements=option.bench_measurements,
        measure_seconds=option.bench_measure_seconds,
        changes=_changes(option.bench_set),
        panels=option.bench_panels,
    )


def _home(config: pytest.Config) -> Path:
    """Return the clone, or the current folder of a session of an installed package."""
    clone = Path(__file__).parent.parent
    return clone if config.rootpath == clone else config.invocation_params.dir


def _names(option: str, text: str | None, offered: Collection[str]) -> tuple[str, ...] | None:
    """Split a list of names; ``all`` means all that are offered."""
    if text is None:
        return None
    names = tuple(sorted(offered)) if text == "all" else tuple(text.split(","))
    _check_names(option, names, offered)
    return names


def _check_names(option: str, names: Iterable[str], offered: Collection[str]) -> None:
    from bench.near_names import near_names

    for name in names:
        if name not in offered:
            close = near_names(name, offered)
            meant = f"did you mean {' or '.join(close)}? There are" if close else "there are"
            found = f"{option}: no {option[2:].removesuffix('s')} '{name}'"
            raise pytest.UsageError(f"{found}; {meant} {', '.join(sorted(offered))}")


def _weights_dirs(given: list[Path] | None) -> tuple[Path, ...]:
    from models.components.weights import FOLDER_VARIABLE

    folders = _absolute(given)
    named = {f"--weights-dir {folder}": folder for folder in folders}
    if variable := os.environ.get(FOLDER_VARIABLE):
        named[f"{FOLDER_VARIABLE}={variable}"] = Path(variable)
    for source, folder in named.items():
        if not os.path.isdir(folder):  # noqa: PTH112 - False, not an error, in a closed folder
            found = "a file" if os.path.isfile(folder) else "no such folder"  # noqa: PTH113
            raise pytest.UsageError(
                f"{source}: wanted a folder of pretrained weights, such as resnet18.pth; found "
                f"{found}. Correct the path, or leave it out to search torch hub's cache alone."
            )
    return folders


def _check_writable(option: str, folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    problem = ""
    if not os.path.isdir(existing):  # noqa: PTH112
        problem = f"{existing} is not a folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        problem = f"{existing} is not writable for this user"
    if problem:
        raise pytest.UsageError(
            f"{option} {folder}: wanted a folder to write to, but {problem}. Name another folder "
            f"with {option}."
        )


def _absolute(given: list[Path] | None) -> tuple[Path, ...]:
    return tuple(folder.expanduser().absolute() for folder in given or [])


def _gigabytes(text: str) -> int:
    """Parse a number of GB into bytes."""
    return round(_number(text, "a number of GB from 0", low=0.0) * 1e9)


def _seconds(text: str) -> float:
    return _number(text, "a number of seconds above 0", low=math.ulp(0.0))


def _bits(text: str) -> int:
    from datasets_lib.images.bit_depth import BITS

    if text not in map(str, BITS):
        wanted = " or ".join(map(str, BITS))
        raise argparse.ArgumentTypeError(f"wanted {wanted} bits, found '{text}'")
    return int(text)


def _change(text: str) -> tuple[str, Any]:
    from bench.changes import parse_change

    try:
        return parse_change(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _changes(given: list[tuple[str, Any]]) -> dict[str, Any]:
    from bench.changes import checked_changes

    try:
        return checked_changes(dict(given))
    except ValueError as error:
        raise pytest.UsageError(f"--set {error}") from None


def _shots(text: str) -> tuple[int, ...]:
    """Parse ``1,2,4`` into ascending numbers of images, each once."""
    return tuple(sorted({positive(part) for part in text.split(",")}))


def _number(text: str, wanted: str, low: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number < math.inf:
        raise argparse.ArgumentTypeError(f"wanted {wanted}, found '{text}'")
    return number
