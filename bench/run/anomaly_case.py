"""An anomaly case: train on normal images, judge on normal and defective ones."""

from typing import Any

import torch

from bench.record import Record
from bench.run.artifacts import write_artifacts
from bench.run.evaluate import judge, predict_all
from bench.run.job import Inputs, Job
from bench.run.load import build_model
from bench.run.loop import fit
from bench.run.objective import AnomalyObjective
from bench.run.phases import Phases
from bench.run.profile import Subject, measure
from bench.run.resident import Resident
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
            AnomalyObjective(model, data.fit.images, job.protocol, device),
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
        _note_metrics(record, judge(data.test, scored, calibration))
    with phases("artifacts"):
        write_artifacts(job, record, model, data.test, scored)
    with phases("measure"):  # last: its training steps change the model
        frozen = (
            model.features if isinstance(model, FrozenFeatureModel) and trained.frozen else None
        )
        subject = Subject(model, model.predict, model.loss, frozen)
        measured = measure(subject, data.fit.images, job.protocol, trained, device)
    record.measurements, record.samples = measured.figures, measured.samples
    checkpoint.unlink(missing_ok=True)


def _note_metrics(record: Record, judged: dict[str, Any]) -> None:
    for arm, result in judged.items():
        record.metrics[arm] = dict(result.metrics)
        record.thresholds[arm] = dict(result.thresholds)
        record.reasons |= {f"{arm}.{name}": reason for name, reason in result.reasons.items()}
