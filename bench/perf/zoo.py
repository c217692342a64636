"""Anomaly models side by side with the peer's, as whole processes taking turns.

``python -m bench.perf.zoo padim_resnet18 patchcore --peer-python PY`` runs, in every round, a
session of ours from an empty cache and anomalib's own engine in PY, both on the CPU: import, read
900×900 PNGs, fit, judge. ``--warm`` runs ours once more on its cache, ``--drawn`` the peer once
more with the pictures that it draws of every test image by default. Neither side draws otherwise,
and ours measures no speeds. A PatchCore of the peer takes 18 minutes: ``--peer-json FILE`` keeps
the peer's runs, and uses those it has.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench.environment import environment
from bench.perf import mvtec_like
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import ProcessFailedError, Task, ours, peer
from bench.perf.zoo_tables import (
    DRAWN,
    OURS,
    PEER,
    WARM,
    Run,
    parts_table,
    quality_table,
    speed_table,
)
from datasets_lib.discover import find_datasets
from models.catalog import MODELS
from models.components.weights import resolve


class PeerRuns:
    """The peer's runs that are kept in a file, by model, side and what they were run on."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._kept: dict[str, list[dict[str, object]]] = {}
        if file is not None and file.is_file():
            self._kept = json.loads(file.read_text(encoding="utf-8"))

    def of(self, task: Task, side: str) -> list[Run]:
        """Those of one model and side, on the same data, weights and batch."""
        return [Run(**fields) for fields in self._kept.get(_name(task, side), [])]  # type: ignore[arg-type]

    def add(self, task: Task, side: str, run: Run) -> None:
        """Keep another, at once: what follows may be interrupted."""
        self._kept.setdefault(_name(task, side), []).append(asdict(run))
        if self._file is not None:
            self._file.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")


def _name(task: Task, side: str) -> str:
    weights = task.weights.name if task.weights else "random"
    data = f"{task.dataset}.{task.category} {task.images} images"
    return f"{side}: {task.model}, {data}, {weights} weights, batch {task.batch}"


def main() -> None:
    """Run the rounds and print the tables."""
    options = _options()
    kept = PeerRuns(options.peer_json)
    measured: dict[str, dict[str, list[Run]]] = {}
    failures = []
    print(_machine(), flush=True)
    for task in _tasks(options):
        try:
            measured[task.case.model] = _rounds(task, options, kept)
        except ProcessFailedError as failure:
            failures.append(f"{task.case.model}: {failure}")
    print()
    print(speed_table(measured), quality_table(measured), parts_table(measured), sep="\n\n")
    print(f"\n{_settings(options, measured)}")
    if failures:
        raise SystemExit("\n\n".join(failures))


def _rounds(task: Task, options: argparse.Namespace, kept: PeerRuns) -> dict[str, list[Run]]:
    sides = [PEER, DRAWN] if options.drawn else [PEER]
    found: dict[str, list[Run]] = {side: kept.of(task, side) for side in sides}
    to_run = [side for side in sides if not found[side]]
    own: dict[str, list[Run]] = {OURS: [], WARM: []} if options.warm else {OURS: []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            own[OURS].append(_told(task, OURS, ours(task, Path(name))))
            if options.warm:
                own[WARM].append(_told(task, WARM, ours(task, Path(name), again=True)))
        for side in to_run:
            run = _told(task, side, peer(task, options.peer_python, drawn=side == DRAWN))
            found[side].append(run)
            kept.add(task, side, run)
    return own | found


def _told(task: Task, side: str, run: Run) -> Run:
    took = f"{run.seconds:.1f} s" if run.seconds is not None else f"stopped at {run.limit_s} s"
    print(f"{task.case.model}, {side}: {took}", flush=True)
    return run


def _tasks(options: argparse.Namespace) -> Iterator[Task]:
    data_dir = options.images_dir.expanduser().absolute()
    if options.data is None:
        mvtec_like.write_mvtec_like(data_dir)
    name = options.data or f"{mvtec_like.DATASET}.{mvtec_like.CATEGORY}"
    dataset, _, category = name.partition(".")
    found = find_datasets([data_dir])
    if dataset not in found or category not in found[dataset].categories:
        raise SystemExit(f"--data: found no {name} below {data_dir}")
    for model in options.models:
        weights = None
        if options.weights_dir is not None:
            weights = resolve(MODELS[model].weights or "", [options.weights_dir.absolute()]).path
        yield Task(
            model=model,
            dataset=dataset,
            category=category,
            folder=found[dataset].categories[category],
            data_dir=data_dir,
            weights=weights,
            precision=options.precision,
            batch=options.peer_batch,
            timeout_s=options.timeout,
        )


def _machine() -> str:
    names = environment("cpu")
    load = os.getloadavg()[0]
    return (
        f"{names['cpu']}, {names['cores']} cores, {names['threads']} threads; load {load:.1f} "
        f"before; ours: Python {names['python']}, torch {names['torch']}"
    )


def _settings(options: argparse.Namespace, measured: dict[str, dict[str, list[Run]]]) -> str:
    considered: dict[str, dict[str, None]] = {}
    for model, runs in measured.items():
        for side, of_side in runs.items():
            for run in filter(lambda run: run.about, of_side):
                about = ", ".join(f"{name} {text}" for name, text in run.about.items())
                considered.setdefault(f"{side}: {about}", {})[model] = None
    start = (
        "the same weights"
        if options.weights_dir
        else "random weights, other ones on each side, so that quality cannot be compared"
    )
    return "\n".join(
        [
            f"Medians of {options.rounds} rounds (of what was kept, for the peer's kept runs), "
            f"256 px, one epoch of what is trained, {start}.",
            "The peer's AUPRO, which it does not compute by default, is outside of its seconds. "
            "Each side draws its own random channels, projections and students.",
            *(f"* {text} ({', '.join(models)})" for text, models in considered.items()),
        ]
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("models", nargs="+", choices=sorted(PEER_MODELS), metavar="MODEL")
    add("--peer-python", type=Path, required=True, help="an interpreter that has anomalib")
    add("--rounds", type=int, default=3)
    add("--warm", action="store_true", help="ours again, on its cache")
    add("--drawn", action="store_true", help="the peer again, drawing")
    add("--peer-json", type=Path, help="file that keeps the peer's runs, and gives those it has")
    add("--peer-batch", type=int, default=32)
    add("--timeout", type=float, default=3600.0, metavar="S", help="of one process")
    add("--precision", choices=["float32", "bf16"], default="float32", help="of our training")
    add("--weights-dir", type=Path, help="folder of the backbones' weights; random without")
    add("--data", metavar="DATASET.CATEGORY", help="below --images-dir, instead of a drawn one")
    folder = Path(tempfile.gettempdir()) / "proving_ground_perf"
    add("--images-dir", type=Path, default=folder, help=f"data folder (default {folder})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
