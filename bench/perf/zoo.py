"""Time anomaly models against anomalib's, in whole processes that alternate.

Run ``python -m bench.perf.zoo padim_resnet18 patchcore --peer-python PY``. In every round one
session of ours starts from an empty cache and anomalib's engine runs in PY, both on the CPU, or on
a GPU with ``--device cuda``: import, read 900×900 PNGs, fit, evaluate. ``--warm`` repeats our
session on its cache. Ours skips the speed measurements. Neither side draws anything, unless
``--drawing`` lets each draw what it does by default: the peer a picture of every prediction, ours
the plots of the run. ``all`` means every model that both sides have with a ResNet18 or without a
backbone; with several models, one session of ours that runs all of them is timed too.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.environment import environment
from bench.perf import mvtec_like
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import (
    ProcessFailedError,
    Workload,
    run_ours,
    run_ours_together,
    run_peer,
)
from bench.perf.zoo_tables import (
    OURS,
    PEER,
    WARM,
    TimedRun,
    median_or_limit,
    parts_table,
    quality_table,
    speed_table,
)
from bench.rounding import rounded_down
from datasets_lib.discover import find_datasets
from datasets_lib.paths import absolute_path
from models.catalog import MODELS
from models.components.weights import WeightsMissingError, load_state, resolve

_SMALL = [
    name
    for name in PEER_MODELS
    if (MODELS[name].weights or "").partition(".")[0] in ("", "resnet18", "pdn_small")
]
"""The models that ``all`` selects."""


def main() -> None:
    """Run the rounds and print the tables."""
    options = _options()
    measured: dict[str, dict[str, list[TimedRun]]] = {}
    failures = []
    workloads = list(_workloads(options))
    machine = environment(options.device)
    print(
        f"{machine.get('gpu', 'no GPU')}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['threads']} threads; load "
        f"{os.getloadavg()[0]:.1f} before; ours: Python {machine['python']}, "
        f"torch {machine['torch']}",
        flush=True,
    )
    for workload in workloads:
        try:
            measured[workload.case.model] = _rounds(workload, options)
        except ProcessFailedError as failure:
            failures.append(f"{workload.case.model}: {failure}")
    if len(measured) > 1:
        print(_together([each for each in workloads if each.model in measured], measured))
    print()
    print(speed_table(measured), quality_table(measured), parts_table(measured), sep="\n\n")
    print(f"\n{_settings(options, measured)}")
    if failures:
        raise SystemExit("\n\n".join(failures))


def _rounds(workload: Workload, options: argparse.Namespace) -> dict[str, list[TimedRun]]:
    runs: dict[str, list[TimedRun]] = {side: [] for side in _sides(options)}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for side, of_side in runs.items():
                if side == PEER:
                    run = run_peer(workload, options.peer_python)
                else:
                    run = run_ours(workload, Path(folder), rerun=side == WARM)
                of_side.append(run)
                took = f"{run.seconds:.1f} s" if run.seconds else f"stopped at {run.limit_s} s"
                print(f"{workload.case.model}, {side}: {took}", flush=True)
    return runs


def _together(workloads: list[Workload], measured: dict[str, dict[str, list[TimedRun]]]) -> str:
    """Time one session of ours with all models; return a line that compares it with the peer's."""
    with tempfile.TemporaryDirectory() as folder:
        ours = run_ours_together(workloads, Path(folder))
    peers = [median_or_limit(measured[workload.model][PEER]) for workload in workloads]
    stopped = any(run.seconds is None for runs in measured.values() for run in runs[PEER])
    total, bound = sum(peers), "more than " if stopped else ""
    if ours is None:
        return "One session of ours with all models was stopped."
    ratio = rounded_down(total / ours, 1) if stopped else total / ours
    return (
        f"One session of ours with all {len(workloads)} models: {ours:.0f} s; the peer's "
        f"processes: {bound}{total:.0f} s, {bound}{ratio:.1f} ×"
    )


def _sides(options: argparse.Namespace) -> tuple[str, ...]:
    return (OURS, WARM, PEER) if options.warm else (OURS, PEER)


def _workloads(options: argparse.Namespace) -> Iterator[Workload]:
    data_dir = absolute_path(options.images_dir)
    if options.data is None:
        mvtec_like.write_mvtec_like(data_dir)
    name = options.data or f"{mvtec_like.DATASET}.{mvtec_like.CATEGORY}"
    dataset, _, category = name.partition(".")
    datasets = find_datasets([data_dir])
    if dataset not in datasets or category not in datasets[dataset].categories:
        raise SystemExit(f"--data {name}: wanted a category below {data_dir}, found none")
    models = _SMALL if options.models == ["all"] else options.models
    for model in models:
        weights = _weights(model, options.weights_dir)
        yield Workload(
            model=model,
            dataset=dataset,
            category=category,
            folder=datasets[dataset].categories[category],
            data_dir=data_dir,
            weights=weights,
            precision=options.precision,
            batch=options.peer_batch,
            timeout_s=options.timeout,
            images_seen=options.images_seen,
            device=options.device,
            drawing=options.drawing,
        )


def _weights(model: str, folder: Path | None) -> Path | None:
    """Return the file of a model's weights; None for random weights."""
    entry = MODELS[model]
    if entry.weights is None or folder is None:
        return None
    try:
        resolved = resolve(entry.weights, [folder.absolute()])
        last = f"layer{max(entry.layers, default=0)}.1."
        if entry.layers and not any(name.startswith(last) for name in load_state(resolved)):
            raise WeightsMissingError(f"{resolved.path} lacks tensors of {last[:-1]}")
    except (WeightsMissingError, ValueError) as error:
        print(f"{model}, random weights: {error}".splitlines()[0], flush=True)
        return None
    return resolved.path


def _settings(options: argparse.Namespace, measured: dict[str, dict[str, list[TimedRun]]]) -> str:
    """Return the settings behind the tables, each with the models that it applies to."""
    models_by_setting: dict[str, dict[str, None]] = {}
    for model, runs in measured.items():
        for side, of_side in runs.items():
            for run in filter(lambda run: run.about, of_side):
                about = ", ".join(f"{name} {text}" for name, text in run.about.items())
                models_by_setting.setdefault(f"{side}: {about}", {})[model] = None
    init = (
        "the same weights where --weights-dir has them"
        if options.weights_dir
        else "random weights that differ between the sides, so quality cannot be compared"
    )
    seen = options.images_seen
    budget = "one epoch of training" if seen is None else f"{seen} images seen in training"
    return "\n".join(
        [
            f"Medians of {options.rounds} rounds, each model at its own image size, {budget}, "
            f"{init}.",
            "Each side draws what it does by default."
            if options.drawing
            else "Neither side draws.",
            "The peer's AUPRO, which it does not compute by default, is not part of its seconds. "
            "Each side draws its own random channels, projections and students.",
            *(f"* {text} ({', '.join(models)})" for text, models in models_by_setting.items()),
        ]
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("models", nargs="+", choices=["all", *sorted(PEER_MODELS)], metavar="MODEL")
    add("--peer-python", type=Path, required=True, help="interpreter that has anomalib")
    add("--rounds", type=int, default=3)
    add("--images-seen", type=int, metavar="N", help="in training (default: each image once)")
    add("--drawing", action="store_true", help="let each side draw what it does by default")
    add("--warm", action="store_true", help="repeat our session on its cache")
    add("--peer-batch", type=int, default=32)
    add("--device", choices=["cpu", "cuda"], default="cpu", help="of both sides (default: cpu)")
    add("--timeout", type=float, default=3600.0, metavar="S", help="limit of one process")
    add("--precision", choices=["float32", "bf16"], default="float32", help="of our training")
    add("--weights-dir", type=Path, help="folder of backbone weights (default: random weights)")
    add("--data", metavar="DATASET.CATEGORY", help="below --images-dir (default: drawn images)")
    folder = Path(tempfile.gettempdir()) / "proving_ground_perf"
    add("--images-dir", type=Path, default=folder, help=f"data folder (default: {folder})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
