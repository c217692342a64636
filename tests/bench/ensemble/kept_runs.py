"""Runs with the files that ensembles are made of."""

from dataclasses import replace

import numpy as np
import torch
from fake_records import make

from bench.report.finished_run import FinishedRun
from bench.run.kept_predictions import write_maps, write_scores
from bench.run.predict import HeadPredictions
from bench.store import Store
from datasets_lib.batches.image_set import ImageSet

SIDE = 8


def image_set(defective, prefix="test"):
    count = len(defective)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    masks[torch.from_numpy(defective), 2:4, 2:4] = True
    return ImageSet(
        images=torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8),
        labels=torch.from_numpy(defective),
        names=tuple(f"{prefix}/{place:03d}.png" for place in range(count)),
        defects=tuple("dent" if bad else None for bad in defective),
        masks=masks,
    )


def keep_run(
    results,
    model,
    noise,
    *,
    defective,
    seed=0,
    gap=1.5,
    scale=1.0,
    held_out=40,
    masks=True,
    **how,
):
    """Store a run whose scores are a shared signal and the model's own noise; return it."""
    rng = np.random.default_rng(seed)
    test, normal = image_set(defective), image_set(np.zeros(held_out, bool), "train")

    def predicted(labels):
        scores = scale * (gap * labels + noise * rng.normal(size=len(labels)))
        maps = scores[:, None, None] + scale * rng.normal(size=(len(labels), SIDE, SIDE)) - 1
        maps[labels, 2:4, 2:4] += scale * gap
        return {"score": HeadPredictions(*(torch.from_numpy(a).float() for a in (scores, maps)))}

    found, calibrated = predicted(defective), predicted(np.zeros(held_out, bool))
    how.setdefault("measurements", {"latency_p50_ms": 10.0})
    record = make(model, **how)
    folder = f"runs/{record.key.id}/{record.key.profile}"
    (results / folder).mkdir(parents=True, exist_ok=True)
    write_scores(results / folder / "scores.npz", test, found, normal.names, calibrated)
    truth = test.masks if masks else None
    maps = write_maps(results / folder / "maps.npz", test.names, found, calibrated, truth)
    artifacts = {"scores": f"{folder}/scores.npz", "maps": f"{folder}/maps.npz"}
    assert maps is not None
    record = replace(record, artifacts=artifacts)
    Store(results / "runs").append(record)
    return FinishedRun(record, results / "runs" / "records.jsonl")
