"""Classification: train on labeled images, evaluate on the publisher's test split."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import plots
from bench.metrics.classes import predicted_classes
from bench.record import Record
from bench.run.build import build_classifier, classifier_options
from bench.run.classification_evaluation import (
    EVALUATION_BATCH,
    check_logits,
    evaluate_logits,
    predict_logits,
    top1_of,
)
from bench.run.classification_plots import draw_plots
from bench.run.job import LabeledInputs
from bench.run.labeled_split import LabeledSplit
from bench.run.measure.profile import ProfileTarget
from bench.run.saved_model import plain_options
from bench.run.task import Evaluation, Model, Task
from bench.run.training.classifier_objective import ClassifierObjective
from bench.run.training.loop import TrainingResult, fit
from models.components.base import Classifier


class ClassificationTask(Task):
    """Classification of one dataset."""

    def load(self) -> None:
        """Read both splits."""
        assert isinstance(self.job.inputs, LabeledInputs)
        self.data = self.device_data.load_labeled(self.job, self.job.inputs, self.progress)
        batch_size = self.job.protocol.recipe.batch_size
        self.fingerprints["images_held"] = self.data.placement(batch_size, EVALUATION_BATCH)

    def build(self) -> Classifier:
        """Return the catalog entry's network with a head for the dataset's classes."""
        return build_classifier(self.job, len(self.data.train.classes))

    def train(self, model: Model) -> TrainingResult:
        """Train the network; the test set is evaluated after every pass and chooses nothing."""
        assert isinstance(model, Classifier)
        check_logits(model, self.data.test, self.device)
        objective = ClassifierObjective(
            model,
            self.data.train,
            self.job.protocol,
            seed=self.job.seed,
            device=self.device,
            compiling=self.job.settings.compiling,
        )
        trained = fit(
            model,
            objective,
            self.job.protocol,
            seed=self.job.seed,
            device=self.device,
            report=self.progress,
            checkpoint=self.job.checkpoint,
            origin=self.job.origin,
            start=self.job.settings.resume_from,
            keep_state=self.job.settings.keep_state,
            evaluate_fn=self._top1,
        )
        self.fingerprints["loss_computed"] = objective.network.execution_mode
        return trained

    def _top1(self, model: nn.Module) -> float:
        assert isinstance(model, Classifier)
        return top1_of(model, self.data.test, self.device)

    def predict(self, model: Model) -> Tensor:
        """Return the logits of the test set."""
        assert isinstance(model, Classifier)
        return predict_logits(model, self.data.test, self.device)

    def evaluate(self, predictions: Tensor, trained: TrainingResult) -> Evaluation:
        """Return metrics with their intervals."""
        unseen = len(self.data.test.classes) - len(set(self.data.train.labels.tolist()))
        epochs = [value for _, value in trained.epochs]
        return evaluate_logits(predictions, self.data.test, epochs, unseen=unseen)

    def write_files(self, model: Model, predictions: Tensor, record: Record) -> dict[str, Path]:
        """Write predictions and plots."""
        assert isinstance(model, Classifier)
        folder, test = self.job.folder, self.data.test
        files = {"predictions": _save_predictions(folder / "predictions.npz", test, predictions)}
        if self.job.settings.plots:
            files["curve"] = plots.training_curves(record, folder / "curve.png")
            files |= draw_plots(folder, self.job.case.id, model, test, predictions)
        return files

    def checkpoint_fields(self, predictions: Tensor, record: Record) -> dict[str, Any]:
        """Return options and classes."""
        classes = self.data.train.classes
        return {
            "options": plain_options(classifier_options(self.job.protocol, len(classes))),
            "heads": (),
            "classes": tuple(classes),
        }

    def profile_target(self, model: Model) -> ProfileTarget:
        """Return prediction and loss of plain images."""
        assert isinstance(model, Classifier)
        labels = self.data.train.labels

        def loss(twin: Classifier, images: Tensor) -> Tensor:
            rows = torch.arange(len(images), device=labels.device) % len(labels)
            return twin.loss(images, labels[rows])

        images = self.data.train.images(self.job.protocol.recipe.batch_size)
        return ProfileTarget(model, images, model.predict, loss)


def _save_predictions(path: Path, test: LabeledSplit, logits: Tensor) -> Path:
    """Save the class of each image, with ties decided as in the metrics, and log-probabilities.

    The latter as float16: enough for ensembles, at half the size.
    """
    np.savez(
        path,
        names=np.array(test.names),
        labels=test.labels.cpu().numpy(),
        predicted=predicted_classes(logits, test.labels).cpu().numpy(),
        log_probabilities=logits.log_softmax(1).half().cpu().numpy(),
    )
    return path
