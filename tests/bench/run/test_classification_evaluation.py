"""Evaluation of classifiers: divergence, ties, contradictions, intervals, files."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from test_classification_sessions import CASE, changed, job

from bench.metrics.classes import ClassInputs, predicted_classes
from bench.metrics.evaluation import MetricValues, classification_metrics
from bench.run import classification_plots
from bench.run.case import run_case
from bench.run.classification import _save_predictions
from bench.run.classification_evaluation import (
    ContradictoryMetricsError,
    check_against_logits,
    check_logits,
    checked_metrics,
    evaluate_logits,
    predict_logits,
)
from bench.run.device_data import DeviceData
from bench.run.labeled_split import LabeledSplit
from bench.run.predict import NonFiniteScoresError
from datasets_lib.batches.streaming import ResidentBatches
from models.components.base import Classifier, ModelContractError

# Right; tied with class 0; wrong; all three tied.
TIES = torch.tensor([[3.0, 1, 0], [2, 2, 0], [0, 1, 5], [1, 1, 1]])
LABELS = torch.tensor([0, 1, 0, 2])


def split_of(labels):
    images = torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8)
    names = tuple(f"{place:02d}" for place in range(len(labels)))
    return LabeledSplit(ResidentBatches(images), labels, ("a", "b", "c"), names)


def evaluated(logits, labels, unseen=0):
    return evaluate_logits(logits, split_of(labels), [0.5], unseen=unseen)


def test_training_that_diverges_in_its_last_step_is_an_outcome_with_advice(tmp_path):
    plan = changed(job(tmp_path, CASE.format("default"), images_seen=1), optimizer="sgd", lr=1e30)
    record = run_case(plan, lambda *_: None, DeviceData())
    assert (record.status, record.outcome) == ("failed", "nan")
    assert "test images a logit that is NaN or infinite" in record.error["message"]
    assert "lower the learning rate" in record.error["message"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_broken_logit_is_an_error(value):
    class Broken(Classifier):
        def predict(self, images):
            logits = torch.zeros(len(images), 3)
            logits[1, 2] = value
            return logits

    with pytest.raises(NonFiniteScoresError, match="1 of 4 test images"):
        predict_logits(Broken(), split_of(LABELS), torch.device("cpu"))


def test_the_contracts_predict_is_evaluated_and_not_forward():
    class Doubled(Classifier):
        def forward(self, images):
            return torch.zeros(len(images), 3)

        def predict(self, images):
            assert not self.training
            return self(images) + 2

    model = Doubled()
    logits = predict_logits(model, split_of(LABELS), torch.device("cpu"))
    assert logits.tolist() == [[2.0] * 3] * 4
    assert model.training


def test_logits_of_another_shape_break_the_contract():
    class Wrong(torch.nn.Module):
        def predict(self, images):
            return torch.zeros(len(images), 2)

    with pytest.raises(ModelContractError, match=r"\(2, 3\).*\(2, 2\)"):
        check_logits(Wrong(), split_of(LABELS), torch.device("cpu"))


def test_predicted_classes_are_those_of_the_confusion_matrix():
    logits = torch.randint(0, 3, (300, 3)).float()
    labels = torch.randint(0, 3, (300,))
    predicted = predicted_classes(logits, labels)
    expected = confusion_matrix(labels, predicted, labels=range(3))
    np.testing.assert_array_equal(ClassInputs(logits, labels).confusion, expected)
    assert predicted_classes(TIES, LABELS).tolist() == [0, 0, 2, 0]


def test_files_and_pictures_decide_ties_as_the_figures_do(tmp_path, monkeypatch):
    test = split_of(LABELS)
    with np.load(_save_predictions(tmp_path / "p.npz", test, TIES)) as file:
        right = file["predicted"] == file["labels"]
    found = checked_metrics(TIES, test)
    assert right.mean() == found.metrics["top1"] == 0.25
    drawn = {}
    for name in ("plot_confusion", "plot_features", "plot_attributions"):
        monkeypatch.setattr(
            classification_plots.plots,
            name,
            lambda first, *_, name=name: drawn.setdefault(name, first),
        )

    class Model(torch.nn.Linear):
        def features(self, images):
            return images.flatten(1)

        def forward(self, images):
            return super().forward(images.flatten(1))

        def predict(self, images):
            return self(images)

    classification_plots.draw_plots(tmp_path, "title", Model(48, 3), test, TIES)
    confusion = ClassInputs(TIES, LABELS).confusion
    np.testing.assert_array_equal(drawn["plot_confusion"], confusion)
    shown = {(one.true, one.predicted) for one in drawn["plot_attributions"]}
    assert shown == {("a", "a"), ("b", "a"), ("a", "c"), ("c", "a")}


def test_cudnn_tries_no_algorithms_for_batches_of_rare_sizes(tmp_path, monkeypatch):
    tuned = []

    def note(value):
        tuned.append(torch.backends.cudnn.benchmark)
        return value

    class Watched(Classifier):
        def features(self, images):
            return note(images).flatten(1)

        def predict(self, images):
            logits = self.features(images)[:, :3]
            if logits.requires_grad:
                logits.register_hook(note)
            return logits

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    for name in ("plot_confusion", "plot_features", "plot_attributions"):
        monkeypatch.setattr(classification_plots.plots, name, lambda *_: tmp_path)
    test = split_of(LABELS)
    check_logits(Watched(), test, torch.device("cpu"))
    classification_plots.draw_plots(tmp_path, "title", Watched(), test, TIES)
    assert tuned == [False] * 4  # the check, the features, an attribution and its gradient
    assert torch.backends.cudnn.benchmark


def test_a_record_says_how_many_ties_cost_an_image():
    assert "2 of 4 images" in evaluated(TIES, LABELS).notes["last_epoch.top1"]
    both = evaluated(TIES, LABELS, unseen=1).notes["last_epoch.top1"]
    assert both.startswith("1 of 3 classes have no training image; 2 of 4 images")
    assert "last_epoch.top1" not in evaluated(TIES[::2], LABELS[::2]).notes


def test_figures_that_contradict_the_logits_are_an_error():
    labels = torch.tensor([0, 1, 2])
    logits = torch.eye(3)
    found = classification_metrics(logits, labels)
    check_against_logits(found, logits, labels)
    moved = MetricValues({**found.metrics, "macro_recall": 0.9})
    with pytest.raises(ContradictoryMetricsError, match=r"macro recall 0\.9.*must be equal"):
        check_against_logits(moved, logits, labels)
    moved.metrics |= {"top1": 0.9, "macro_recall": 0.9}  # they agree, and both are wrong
    with pytest.raises(ContradictoryMetricsError, match=r"0\.9 by the confusion matrix and 1"):
        check_against_logits(moved, logits, labels)


def test_a_record_has_the_interval_of_top1():
    found = evaluated(TIES, LABELS).intervals["last_epoch"]["top1"]
    assert found == pytest.approx(binomtest(1, 4).proportion_ci(method="wilson"))
