"""Plots of classifiers show their numbers; attribution is the gradient."""

import numpy as np
import pytest
import torch
from fake_mixing import CNN, VIT, classified
from plot_pixels import near, pixels
from scipy.ndimage import gaussian_filter
from torch import nn

from bench.plots import (
    all_dataset_curves,
    dataset_curves,
    leaderboard_picture,
    most_confused,
    plot_attributions,
    plot_confusion,
    plot_features,
    training_curves,
)
from bench.plots.attribution import AttributedImage
from bench.plots.style import BLUE, GREEN, VERMILION
from bench.run.classification_plots import (
    attribution_maps,
    draw_plots,
    spread_over_classes,
    worst_and_surest,
)
from bench.run.labeled_split import LabeledSplit
from datasets_lib.batches.streaming import ResidentBatches


class Linear(nn.Module):
    """Logits linear in the pixels, so that the gradient is the weights; features are the pixels."""

    def __init__(self, classes, side):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3 * side * side, classes)
        self.dropout = nn.Dropout()

    def features(self, images):
        return self.dropout(images.flatten(1))

    def forward(self, images):
        return self.head(self.features(images))

    def predict(self, images):
        return self(images)


def split_of(images, labels, classes):
    return LabeledSplit(
        ResidentBatches(images),
        labels,
        tuple(f"class {i}" for i in range(classes)),
        tuple(f"{i:04d}" for i in range(len(labels))),
    )


def test_attribution_is_the_largest_absolute_weight_smoothed():
    model = Linear(4, 16).eval()
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    classes = torch.tensor([0, 3, 3, 1, 2])
    found = attribution_maps(model, images, classes).numpy()
    weights = model.head.weight.detach().view(4, 3, 16, 16)[classes].abs().amax(1).numpy()
    expected = [gaussian_filter(one, 1.0, mode="mirror", truncate=3) for one in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_worst_errors_precede_surest_hits():
    shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7], [0.6, 0.4]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    # Of the truth: .9 hit, .2 error, .4 error, .7 hit, .4 error.
    assert worst_and_surest(shares.log(), labels, shares.argmax(1), 8) == [1, 2, 4, 0, 3]
    assert worst_and_surest(shares.log(), labels, shares.argmax(1), 1) == [1, 0]


def test_subset_is_stratified():
    labels = torch.arange(200).repeat(50)[torch.randperm(10_000)]
    index = spread_over_classes(labels, 1000)
    assert len(set(index.tolist())) == 1000
    counts = labels[index].bincount(minlength=200)
    assert set(counts.tolist()) <= {4, 5, 6}
    assert spread_over_classes(labels[:7], 1000).tolist() == list(range(7))


def test_most_confused_pairs_by_count_then_class():
    confusion = np.array([[5, 2, 0], [0, 9, 7], [2, 0, 1]])
    assert most_confused(confusion, 9) == [(1, 2), (0, 1), (2, 0)]
    assert most_confused(confusion, 1) == [(1, 2)]
    assert most_confused(np.eye(3, dtype=int), 9) == []


@pytest.mark.parametrize("classes", [2, 10, 25, 200])
def test_confusion_is_dark_on_filled_cells(tmp_path, classes):
    names = [f"class {i}" for i in range(classes)]
    right, swapped = np.eye(classes, dtype=int) * 9, np.eye(classes, dtype=int)[::-1] * 9
    one, other = (
        pixels(plot_confusion(counts, names, tmp_path / f"{i}.png", "title"))
        for i, counts in enumerate((right, swapped))
    )
    assert one.shape == other.shape == (1400, 2080, 3)
    # The darkest blue, for shares near 100 %, lies along one diagonal or the other.
    for picture, sign in ((one, 1), (other, -1)):
        rows, columns = np.nonzero(near(picture[:, :1300], "#08306B", 30))
        assert sign * np.corrcoef(rows, columns)[0, 1] > 0.5


def test_features_separate_distinct_classes(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    features = rng.normal(0, 0.1, (60, 8)) + labels[:, None] * 5
    path = plot_features(features, labels, ["a", "b", "c"], [0, 2], tmp_path / "f.png", "title")
    plot = pixels(path)[100:900, 97:1075]
    first, second = (np.nonzero(near(plot, color))[1] for color in ("#1f77b4", "#ff7f0e"))
    between = np.nonzero(near(plot, "#CFCFCF", 10))[1]
    ends = sorted((first.mean(), second.mean()))
    assert ends[0] < np.median(between) < ends[1]


def confusion_of(names, path):
    return plot_confusion(np.eye(2, dtype=int), names, path, names[0])


def features_of(names, path):
    labels = np.arange(12) % 2
    features = np.random.default_rng(0).normal(size=(12, 3))
    return plot_features(features, labels, names, [0, 1], path, names[0])


def attributions_of(names, path):
    gray = np.full((16, 16, 3), 120, np.uint8)
    return plot_attributions([AttributedImage(gray, np.eye(16), *names, 0.7)], path, names[0])


@pytest.mark.parametrize("draw", [confusion_of, features_of, attributions_of])
def test_names_with_dollar_signs_are_drawn(tmp_path, draw):
    assert draw(["a$b_$c", "lot$5_$3"], tmp_path / "plot.png").exists()


@pytest.mark.parametrize("features", [np.ones((30, 4)), np.eye(4)])
def test_degenerate_features_give_no_plot(tmp_path, features):
    labels = np.zeros(len(features), int)
    path = tmp_path / "f.png"
    assert plot_features(features, labels, ["a"], [0], path, "title") is None
    assert not path.exists()


def test_hits_are_green_and_errors_red(tmp_path):
    def shown(predicted):
        gray = np.full((16, 16, 3), 120, np.uint8)
        return AttributedImage(gray, np.eye(16), "cat", predicted, 0.7)

    hit = pixels(plot_attributions([shown("cat")], tmp_path / "hit.png", "title"))
    error = pixels(plot_attributions([shown("dog")] * 5, tmp_path / "error.png", "title"))
    assert near(hit, GREEN).any()
    assert not near(hit, VERMILION).any()
    assert near(error, VERMILION).any()
    assert error.shape[0] > hit.shape[0]  # five take two lines


def test_draw_plots_writes_files_and_restores_mode(tmp_path):
    torch.manual_seed(1)
    labels = torch.arange(3).repeat(20)
    images = torch.randint(0, 80, (60, 3, 12, 12), dtype=torch.uint8)
    images += (labels * 60)[:, None, None, None].to(torch.uint8)
    model = Linear(3, 12).train()
    test = split_of(images, labels, 3)
    with torch.inference_mode():
        logits = model(images.float() / 255)
    written = draw_plots(tmp_path, "title", model, test, logits)
    assert {name: path.name for name, path in written.items()} == {
        "confusion": "confusion.png",
        "features": "features.png",
        "attributions": "attributions.jpg",
    }
    assert all(path.stat().st_size > 1000 for path in written.values())
    assert model.training


def test_training_curves_rise_and_mark_the_last_epoch(tmp_path):
    judged = [0.1 + 0.015 * i for i in range(50)]
    record = classified(
        judged[-1], judged=judged, curve=[[500 * i, 3 - i / 50] for i in range(1, 99)]
    )
    picture = pixels(training_curves(record, tmp_path / "curve.png"))
    above, below = picture[67:450, 133:800], picture[517:900, 133:1267]
    for plot, sign in ((above, 1), (below, -1)):
        rows, columns = np.nonzero(near(plot, BLUE))
        assert sign * np.corrcoef(rows, columns)[0, 1] > 0.9
    assert np.nonzero(near(below, VERMILION))[1].mean() > 1000


def test_curves_need_values_by_epoch(tmp_path):
    with pytest.raises(ValueError, match="lacks a training loss or top-1"):
        training_curves(classified(0.5), tmp_path / "curve.png")
    with pytest.raises(ValueError, match="no curves to draw"):
        dataset_curves([classified(0.5)], tmp_path / "curves.png", "digits")


def test_dataset_curves_have_a_row_per_recipe_and_a_column_per_init(tmp_path):
    def run(**fields):
        return classified(0.5, judged=[0.1, 0.3, 0.5], **fields)

    def size(records, name):
        return pixels(dataset_curves(records, tmp_path / f"{name}.png", "title")).shape[:2]

    one = size([run()], "one")
    wide = size([run(), run(pretrained=True)], "wide")
    tall = size([run(), run(model=f"{CNN}.flip_crop")], "tall")
    assert wide[1] > one[1]
    assert wide[0] == one[0]
    assert tall[0] > one[0]
    assert tall[1] == one[1]


def test_dataset_curves_write_one_file_per_study_and_dataset(tmp_path):
    records = [
        classified(0.5, judged=[0.5], dataset=dataset, model=model)
        for dataset, model in (("digits", CNN), ("digits", "resnet18"), ("cifar100", CNN))
    ]
    names = {path.name for path in all_dataset_curves(records, tmp_path)}
    assert names == {
        "curves_original_classifiers_digits.png",
        "curves_original_mixing_cifar100.png",
        "curves_original_mixing_digits.png",
    }
    assert {path.name for path in tmp_path.iterdir()} == names


def test_leaderboard_picture_shows_better_further_right(tmp_path):
    records = [classified(0.3 + s / 100, s) for s in range(3)]
    records += [classified(0.6 + s / 100, s, model=VIT) for s in range(3)]
    plot = pixels(leaderboard_picture(records, tmp_path / "leaderboard.png"))[30:-90]
    assert np.nonzero(near(plot, BLUE))[1].max() < np.nonzero(near(plot, GREEN))[1].min()
    again = leaderboard_picture(records[::-1], tmp_path / "again.png")
    assert again.read_bytes() == (tmp_path / "leaderboard.png").read_bytes()
