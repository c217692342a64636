"""A classification case: train on labelled images, judge on the publisher's test split."""

import torch
from torch import Tensor, nn

from bench.metrics.class_figures import check_balanced
from bench.metrics.classification import ClassificationCounts
from bench.record import Record
from bench.run.classification_artifacts import write_artifacts
from bench.run.classifier_objective import ClassifierObjective
from bench.run.job import Job, LabelledInputs
from bench.run.labelled_split import LabelledSplit
from bench.run.load import build_classifier
from bench.run.loop import fit
from bench.run.phases import Phases
from bench.run.precision import to_float
from bench.run.profile import Subject, measure
from bench.run.resident import LabelledData, Resident
from datasets_lib.decode import decoded_files
from models.interface import Classifier

ARM = "last_epoch"
"""The evaluation arm: the model as training left it; no test figure chose it."""

_JUDGE_BATCH = 512


def run_classification(
    job: Job,
    inputs: LabelledInputs,
    record: Record,
    phases: Phases,
    resident: Resident,
    device: torch.device,
) -> None:
    """Run it, and note in the record what came out."""
    decoded = decoded_files()
    with phases("data"):
        data = resident.load_labelled(job, inputs, phases.report)
    record.fingerprints["images_decoded"] = decoded_files() - decoded
    held = data.held(job.protocol.recipe.batch_size, _JUDGE_BATCH)
    record.fingerprints["images_held"] = held
    with phases("build"):
        model = build_classifier(job, len(data.train.classes))
    objective = ClassifierObjective(model, data.train, job.protocol, seed=job.seed, device=device)
    checkpoint = job.checkpoint()

    def top1(network: nn.Module) -> float:
        return _judge(network, data.test, device).result().metrics["top1"]

    with phases("train"):
        trained = fit(
            model,
            objective,
            job.protocol,
            seed=job.seed,
            device=device,
            report=phases.report,
            checkpoint=checkpoint,
            judge_epoch=top1,
        )
    phases.move("train", "judge", trained.judge_seconds)
    record.curve, record.epochs = trained.curve(), trained.epochs
    record.fingerprints |= {"images_seen": trained.images_seen, "resumed_at": trained.resumed_at}
    with phases("predict"):
        assert isinstance(model, nn.Module)
        logits = predict_logits(model, data.test, device)
    with phases("metrics"):
        _note_metrics(record, logits, data)
    with phases("artifacts"):
        write_artifacts(job, record, model, data, logits)
    with phases("measure"):  # last: its training steps change the model
        images = data.train.images(job.protocol.recipe.batch_size)
        measured = measure(_subject(model, data), images, job.protocol, trained, device)
    record.measurements, record.samples = measured.figures, measured.samples
    checkpoint.unlink(missing_ok=True)


def predict_logits(network: nn.Module, split: LabelledSplit, device: torch.device) -> Tensor:
    """``(N, classes)`` float32 logits on the device, in evaluation mode and full precision."""
    was_training = network.training
    network.eval()
    everything = split.batches(torch.arange(len(split)), _JUDGE_BATCH)
    with torch.inference_mode():
        parts = [network(to_float(images, device)) for images, _ in everything]
    network.train(was_training)
    return torch.cat(parts)


def _judge(network: nn.Module, test: LabelledSplit, device: torch.device) -> ClassificationCounts:
    counts = ClassificationCounts(len(test.classes), device)
    counts.update(predict_logits(network, test, device), test.labels)
    return counts


def _note_metrics(record: Record, logits: Tensor, data: LabelledData) -> None:
    classes = len(data.test.classes)
    counts = ClassificationCounts(classes, logits.device)
    counts.update(logits, data.test.labels)
    found = counts.result()
    metrics: dict[str, float | None] = dict(found.metrics)
    support = found.confusion.sum(1).cpu()
    wrong = check_balanced(found.metrics["top1"], found.metrics["macro_recall"], support)
    assert not wrong, wrong
    metrics["top1_best_epoch"] = max(value for _, value in record.epochs)
    record.metrics[ARM] = metrics
    record.reasons |= {f"{ARM}.{name}": reason for name, reason in found.reasons.items()}
    record.notes |= {f"{ARM}.{name}": note for name, note in found.notes.items()}
    if unseen := classes - len(set(data.train.labels.tolist())):
        record.notes[f"{ARM}.top1"] = f"{unseen} of {classes} classes have no training image"


def _subject(model: Classifier, data: LabelledData) -> Subject:
    labels = data.train.labels

    def loss(batch: Tensor) -> Tensor:
        index = torch.arange(len(batch), device=labels.device) % len(labels)
        return model.loss(batch, labels[index])

    return Subject(model, model.predict, loss)
