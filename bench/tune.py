"""Choose the constants of a model's ``tuned`` recipe on the `surface` dataset alone.

The benchmark's datasets are not used, so that a tuned recipe is frozen before any benchmark test
set is seen. The winner is copied into the catalog by hand, with its source.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean

from tabulate import tabulate

from bench.case import Case
from bench.finished import Finished
from bench.record import Record
from bench.run.inline import InlineRunner
from bench.run.inputs import Finder
from bench.run.job import Job
from bench.settings import Settings
from bench.store import Store
from datasets_lib.surface import CATEGORIES
from models.catalog import MODELS, Recipe

_LEARNING_RATES = (1e-3, 2e-3, 5e-3)
_LOSSES = ("flattened", "per_pixel")


def tunable() -> list[str]:
    """Return the models that have a ``tuned`` recipe, and a ``same`` one to search around."""
    return [name for name, entry in MODELS.items() if {"same", "tuned"} <= entry.recipes.keys()]


def candidates(base: Recipe) -> list[Recipe]:
    """Return the grid: learning rates and losses around a model's ``same`` recipe."""
    return [
        replace(base, lr=lr, loss=loss, source="candidate")
        for lr, loss in product(_LEARNING_RATES, _LOSSES)
    ]


def tune(model: str, settings: Settings) -> list[tuple[Recipe, list[Record]]]:
    """Train every candidate on every texture; return them by mean image AUROC, best first.

    Candidates with failed runs come last. Runs that are finished in the results folder, with this
    code on this machine, are not repeated.

    Raises:
        CaseSkipped: The model's weights are missing.
    """
    store, runner = Store(settings.runs_dir), InlineRunner()
    finished = Finished(store)
    results: dict[Recipe, list[Record]] = {}
    for recipe, job in _jobs(model, settings):
        record, stale = finished.look_up(job)
        if record is None or stale:
            store.keep_code(job.code)
            record = runner.run(job, lambda *_: None)
            store.append(record)
        print(f"{job.case.data}  lr {recipe.lr:g} {recipe.loss}: {_result(record)}", flush=True)
        results.setdefault(recipe, []).append(record)
    return sorted(results.items(), key=lambda item: (_failures(item[1]), -_auroc(item[1])))


def table(ranked: list[tuple[Recipe, list[Record]]]) -> str:
    """Return the candidates as a text table; a failed run is its outcome, outside the mean."""
    rows = [
        [f"{recipe.lr:g}", recipe.loss, *map(_cell, records), _percent(_auroc(records))]
        for recipe, records in ranked
    ]
    return tabulate(
        rows, headers=["lr", "loss", *CATEGORIES, "mean"], floatfmt=".2f", disable_numparse=[0]
    )


def _jobs(model: str, settings: Settings) -> Iterator[tuple[Recipe, Job]]:
    finder = Finder(settings, {})
    for texture in CATEGORIES:
        case = Case(model, "tuned", "surface", texture, "default", True, 0)
        job = finder.job(case)
        for recipe in candidates(MODELS[model].recipes["same"]):
            protocol = replace(job.protocol, recipe=recipe)
            key = replace(job.key, recipe=protocol.hash)
            yield recipe, replace(job, protocol=protocol, key=key)


def _auroc(records: list[Record]) -> float:
    """Return the mean image AUROC in percent over finished runs and their heads, NaN without one.

    A head whose AUROC is undefined counts as chance.
    """
    found = [
        head.get("image_auroc")
        for record in records
        if record.status == "ok"
        for head in record.metrics.values()
    ]
    return 100 * fmean(0.5 if value is None else value for value in found) if found else math.nan


def _failures(records: list[Record]) -> int:
    return sum(record.status != "ok" for record in records)


def _cell(record: Record) -> str:
    return _percent(_auroc([record])) if record.status == "ok" else record.outcome


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _result(record: Record) -> str:
    """Return a run's image AUROC, or what went wrong."""
    if record.status == "ok":
        return _cell(record)
    return f"{record.outcome}: {(record.error or {}).get('message', '')}"


def settings_for(weights_dirs: tuple[Path, ...], out: Path, images_seen: int) -> Settings:
    """Return the settings of a tuning session: the smoke profile with its own budget."""
    from bench.environment import cuda_present, default_precision
    from datasets_lib.paths import default_cache_dir

    device = "cuda" if cuda_present() else "cpu"
    return Settings(
        profile="smoke",
        device=device,
        data_dirs=(),
        weights_dirs=weights_dirs,
        results_dir=out,
        cache_dir=default_cache_dir(),
        images_seen=images_seen,
        precision=default_precision(device),
    )
