"""A classification case: train on labeled images, judge on the publisher's test split."""

import torch
from torch import Tensor, nn

from bench.record import Record
from bench.run.build import build_classifier
from bench.run.classification_artifacts import write_artifacts
from bench.run.classification_evaluation import (
    EVALUATION_BATCH,
    evaluate_classifier,
    note_figures,
    predict_logits,
)
from bench.run.device_data import DeviceData, LabeledData
from bench.run.job import Job, LabeledInputs
from bench.run.measure.profile import ProfileTarget, measure
from bench.run.phases import Phases
from bench.run.training.classifier_objective import ClassifierObjective
from bench.run.training.loop import fit
from datasets_lib.images.decode import decoded_files
from models.components.base import Classifier


def run_classification(
    job: Job,
    inputs: LabeledInputs,
    record: Record,
    phases: Phases,
    device_data: DeviceData,
    device: torch.device,
) -> None:
    """Run it, and note in the record what came out."""
    decoded = decoded_files()
    with phases("data"):
        data = device_data.load_labeled(job, inputs, phases.report)
    record.fingerprints["images_decoded"] = decoded_files() - decoded
    held = data.held(job.protocol.recipe.batch_size, EVALUATION_BATCH)
    record.fingerprints["images_held"] = held
    with phases("build"):
        model = build_classifier(job, len(data.train.classes))
    objective = ClassifierObjective(
        model, data.train, job.protocol, seed=job.seed, device=device, compiling=job.compiling
    )
    checkpoint = job.checkpoint()

    def top1(network: nn.Module) -> float:
        logits = predict_logits(network, data.test, device)
        return evaluate_classifier(logits, data.test).metrics["top1"]

    with phases("train"):
        trained = fit(
            model,
            objective,
            job.protocol,
            seed=job.seed,
            device=device,
            report=phases.report,
            checkpoint=checkpoint,
            evaluate_fn=top1,
        )
    phases.move("train", "judge", trained.evaluate_seconds)
    record.curve, record.epochs = trained.curve(), trained.epochs
    record.fingerprints |= {"images_seen": trained.images_seen, "resumed_at": trained.resumed_at}
    record.fingerprints["loss_computed"] = objective.network.how
    del objective  # and its CUDA graph, whose memory is not the model's
    with phases("predict"):
        assert isinstance(model, nn.Module)
        logits = predict_logits(model, data.test, device)
    with phases("metrics"):
        epochs = [value for _, value in record.epochs]
        found = evaluate_classifier(logits, data.test, epochs)
        unseen = len(data.test.classes) - len(set(data.train.labels.tolist()))
        note_figures(record, found, data.test, unseen)
    with phases("artifacts"):
        write_artifacts(job, record, model, data, logits)
    with phases("measure"):  # last: its training steps change the model
        images = data.train.images(job.protocol.recipe.batch_size)
        measured = measure(_profile_target(model, data), images, job.protocol, trained, device)
    record.measurements, record.samples = measured.figures, measured.samples
    checkpoint.unlink(missing_ok=True)


def _profile_target(model: Classifier, data: LabeledData) -> ProfileTarget:
    labels = data.train.labels

    def loss(batch: Tensor) -> Tensor:
        index = torch.arange(len(batch), device=labels.device) % len(labels)
        return model.loss(batch, labels[index])

    return ProfileTarget(model, model.predict, loss)
