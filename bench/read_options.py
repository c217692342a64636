"""The settings that the options of a session ask for, and what is wrong with them."""

import argparse
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.writable import why_not_writable

if TYPE_CHECKING:
    from bench.settings import Settings


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
    from bench.environment import default_precision, default_profile
    from bench.protocol import PROFILES
    from bench.settings import Settings
    from datasets_lib.augment.catalog import AUGMENTATIONS
    from datasets_lib.paths import absolute_path, data_dirs, default_cache_dir
    from models.catalog import MODELS

    device = _device(option.bench_device)
    profile = option.bench_profile or ("smoke" if device == "cpu" else default_profile())
    _check_names("--profile", [profile], PROFILES)
    cache_dir = absolute_path(option.bench_cache_dir or default_cache_dir())
    results_dir = absolute_path(option.bench_results_dir or home / "results")
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
        overlap=_overlap(option),
        bits=option.bench_bits,
        split_by=option.bench_split_by,
        max_megapixels=option.bench_max_megapixels,
        precision=option.bench_precision or default_precision(device),
        isolate=_isolates(option, device),
        timeout_s=option.bench_case_timeout or 4 * 3600.0,
        stall_timeout_s=option.bench_stall_timeout or 900.0,
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


def _device(given: str | None) -> str:
    """Return the device that was named, or the one that is there."""
    from bench.environment import cuda_present

    device = given or ("cuda" if cuda_present() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise pytest.UsageError(f"--device: wanted cpu, cuda or cuda:N, found '{device}'")
    return device


def _isolates(option: argparse.Namespace, device: str) -> bool:
    """Return whether cases run in a child process; by default where one may hang or is limited."""
    if option.bench_isolate is not None:
        return bool(option.bench_isolate)
    limits = option.bench_case_timeout, option.bench_stall_timeout
    return device != "cpu" or any(limit is not None for limit in limits)


def _overlap(option: argparse.Namespace) -> int:
    """Return the pixels that neighboring tiles share; without tiles there are none to share."""
    overlap: int = option.bench_overlap
    if overlap and not option.bench_tiles:
        raise pytest.UsageError("--overlap: wanted --tiles RxC with it, found none")
    return overlap


def _names(option: str, text: str | None, offered: Collection[str]) -> tuple[str, ...] | None:
    """Split a list of names; ``all`` means all that are offered."""
    if text is None:
        return None
    names = tuple(sorted(offered)) if text == "all" else tuple(text.split(","))
    _check_names(option, names, offered)
    return names


def _check_names(option: str, names: Iterable[str], offered: Collection[str]) -> None:
    from bench.near_names import did_you_mean

    for name in names:
        if name not in offered:
            meant = did_you_mean(name, offered)
            choose = f"{meant} Choose from" if meant else "choose from"
            found = f"{option}: no {option[2:].removesuffix('s')} '{name}'"
            raise pytest.UsageError(f"{found}; {choose} {', '.join(sorted(offered))}")


def _weights_dirs(given: list[Path] | None) -> tuple[Path, ...]:
    from models.components.weights import FOLDER_VARIABLE

    folders = _absolute(given)
    named = {f"--weights-dir {folder}": folder for folder in folders}
    if variable := os.environ.get(FOLDER_VARIABLE):
        named[f"{FOLDER_VARIABLE}={variable}"] = Path(variable)
    for source, folder in named.items():
        if not os.path.isdir(folder):  # noqa: PTH112 - False, not an error, in an unreadable folder
            found = "a file" if os.path.isfile(folder) else "no such folder"  # noqa: PTH113
            raise pytest.UsageError(
                f"{source}: wanted a folder of pretrained weights, such as resnet18.pth; found "
                f"{found}. Correct the path, or leave it out to search only torch hub's cache."
            )
    return folders


def _check_writable(option: str, folder: Path) -> None:
    if problem := why_not_writable(option, folder):
        raise pytest.UsageError(problem)


def _absolute(given: list[Path] | None) -> tuple[Path, ...]:
    from datasets_lib.paths import absolute_path

    return tuple(map(absolute_path, given or []))


def _changes(given: list[tuple[str, Any]]) -> dict[str, Any]:
    from bench.changes import checked_changes

    try:
        return checked_changes(dict(given))
    except ValueError as error:
        raise pytest.UsageError(f"--set {error}") from None
