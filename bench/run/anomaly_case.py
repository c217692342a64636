"""An anomaly case: train on normal images, judge on normal and defective ones."""

from typing import Any

import torch

from bench.metrics.region_cache import cached_regions
from bench.record import Record
from bench.run.anomaly_notes import note_figures
from bench.run.artifacts import write_artifacts
from bench.run.evaluate import judge, predict_all
from bench.run.job import Inputs, Job
from bench.run.load import build_model
from bench.run.loop import fit
from bench.run.objective import AnomalyObjective
from bench.run.phases import Phases
from bench.run.profile import Subject, measure
from bench.run.resident import Resident
from bench.run.saturated import saturated_overlap
from datasets_lib.decode import decoded_files
from models.interface import FrozenFeatureModel


def run_anomaly(
    job: Job,
    inputs: Inputs,
    record: Record,
    phases: Phases,
    resident: Resident,
    device: torch.device,
) -> None:
    """Run it, and note in the record what came out."""
    decoded = decoded_files()
    with phases("data"):
        data = resident.load(job, inputs, phases.report)
    record.fingerprints["images_decoded"] = decoded_files() - decoded
    with phases("build"):
        model = build_model(job)
    checkpoint = job.checkpoint()
    with phases("train"):
        trained = fit(
            model,
            AnomalyObjective(model, data.fit.images, job.protocol, device, job.seed),
            job.protocol,
            seed=job.seed,
            device=device,
            report=phases.report,
            checkpoint=checkpoint,
        )
    record.curve = trained.curve()
    record.fingerprints |= {"images_seen": trained.images_seen, "resumed_at": trained.resumed_at}
    record.fingerprints["frozen_features"] = (
        "computed once" if trained.frozen else "recomputed every step"
    )
    batch = job.protocol.evaluation_batch
    with phases("predict"):
        options: dict[str, Any] = {"batch": batch, "device": device, "report": phases.report}
        scored = predict_all(model, data.test.images, **options)
        calibration = (
            predict_all(model, data.calibration.images, **options) if data.calibration else None
        )
    with phases("metrics"):
        masks = data.test.masks
        regions = None if masks is None else cached_regions(masks, job.cache_dir / "regions")
        judged = judge(data.test, scored, calibration, regions, job.pixel_metrics)
        areas = saturated_overlap(job.case.dataset, inputs.test, scored)
        note_figures(record, judged, areas)
    with phases("artifacts"):
        on_host = {arm: result.cpu() for arm, result in scored.items()}
        write_artifacts(job, record, model, data.test, on_host)
    with phases("measure"):  # last: its training steps change the model
        frozen = (
            model.features if isinstance(model, FrozenFeatureModel) and trained.frozen else None
        )
        subject = Subject(model, model.predict, model.loss, frozen)
        measured = measure(subject, data.fit.images, job.protocol, trained, device)
    record.measurements, record.samples = measured.figures, measured.samples
    checkpoint.unlink(missing_ok=True)
