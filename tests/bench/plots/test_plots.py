"""Plots have the right size and show the right colors in the right places."""

import numpy as np
import pytest
from fake_records import make
from PIL import Image
from plot_pixels import near, pixels
from scipy.ndimage import uniform_filter

from bench.plots import (
    leaderboard_picture,
    normal_scale,
    plot_errors,
    plot_learning_curve,
    plot_scores,
)
from bench.plots.errors import choose_images
from bench.plots.leaderboard import _panels
from bench.plots.style import BLUE, CYAN, GREEN, ORANGE, VERMILION
from bench.report.board import make_board


def predictions(count=6, side=32):
    """Gray images, the second half with a square defect that the maps light up."""
    rng = np.random.default_rng(0)
    images = rng.integers(90, 120, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count) >= count // 2
    masks = np.zeros((count, side, side), bool)
    masks[labels, 8:20, 8:20] = True
    maps = rng.uniform(0, 0.1, (count, side, side)).astype(np.float32) + masks * 0.9
    names = [f"test/{'hole' if label else 'good'}/{i:03}.png" for i, label in enumerate(labels)]
    return {
        "images": images,
        "masks": masks,
        "maps": maps,
        "scores": maps.max(axis=(1, 2)),
        "labels": labels,
        "names": names,
    }


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (99, [1, 2, 0, 3, 6, 5, 4]),
        (5, [1, 2, 0, 6, 5]),
        (4, [1, 2, 6, 5]),
        (3, [1, 2, 6]),
        (1, [1]),
    ],
)
def test_at_most_half_of_the_images_are_errors_and_hits_are_among_the_others(count, shown):
    #                   miss  miss  alarm alarm  hit  passed hit
    scores = np.array([0.40, 0.10, 0.90, 0.60, 0.55, 0.49, 0.99])
    labels = np.array([True, True, False, False, True, False, True])
    assert choose_images(scores, labels, 0.5, count) == shown


@pytest.mark.parametrize(("threshold", "shown"), [(2.0, [0, 1, 2, 3]), (-1.0, [3, 2, 1, 0])])
def test_nothing_flagged_or_everything(threshold, shown):
    scores, labels = np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, True, False, False])
    found = choose_images(scores, labels, threshold, 4)
    errors = {0, 1} if threshold > 1 else {2, 3}
    assert set(found[:2]) == errors
    assert sorted(found) == sorted(shown)


def test_images_are_chosen_in_the_precision_of_scores():
    # float32(.1) is above the double .1, yet the same number to the metrics.
    scores = np.array([0.1, 0.2], dtype=np.float32)
    assert choose_images(scores, np.array([False, True]), 0.1, 2) == [1, 0]
    assert choose_images(scores, np.array([True, True]), 0.1, 1) == [0]


def test_images_are_chosen_without_a_threshold():
    scores, labels = np.array([0.1, 0.7, 0.2, 0.9]), np.array([False, False, True, True])
    assert choose_images(scores, labels, None, 4) == [2, 1, 3, 0]


def test_outline_follows_the_mask(tmp_path):
    data = predictions(count=2)
    path = plot_errors(**data, threshold=0.9, path=tmp_path / "errors.png", count=1)
    outline = near(pixels(path), CYAN)
    # One row of four panels of 1.495 inches from .12 inches on, .06 apart, at 120 dpi.
    left, panel, top = 120 * (0.12 + 1.495 + 0.06), 120 * 1.495, 120 * (0.3 + 0.28)
    rows, columns = np.nonzero(outline[:, int(left) : int(left + panel)])
    low, high = panel * 8 / 32, panel * 20 / 32
    assert (columns.min(), columns.max()) == (pytest.approx(low, abs=4), pytest.approx(high, abs=4))
    assert rows.min() == pytest.approx(top + low, abs=4)
    assert rows.max() == pytest.approx(top + high, abs=4)
    # None on the plain image to its left.
    assert not outline[:, : int(left) - 4].any()


def test_map_is_bright_at_the_defect(tmp_path):
    data = predictions(count=2)
    path = plot_errors(**data, threshold=0.9, path=tmp_path / "errors.png", count=1)
    picture = pixels(path).sum(axis=2)
    left, panel, top = 120 * (0.12 + 2 * 1.555), 120 * 1.495, 120 * 0.58
    inside, outside = (int(top + panel * f) for f in (14 / 32, 26 / 32))
    across_inside, across_outside = (int(left + panel * f) for f in (14 / 32, 26 / 32))
    assert picture[inside, across_inside] > 600
    assert picture[outside, across_outside] < 450


def test_dollar_signs_in_a_name_are_letters(tmp_path):
    data = predictions(count=2) | {"names": ["lot$5_$3_0.png", "a$b_$c"]}
    path = plot_errors(**data, threshold=0.5, path=tmp_path / "errors.png", about="$x_$")
    assert path.exists()


def test_infinite_pixels_are_the_brightest_and_no_part_of_the_scale(tmp_path):
    data = predictions()
    expected = normal_scale(data["maps"], data["labels"])
    dead = data["maps"].copy()
    dead[:, 0, 0], dead[3, 10, 10] = np.inf, np.inf
    assert normal_scale(dead, data["labels"]) == pytest.approx(expected, rel=1e-3)
    assert normal_scale(np.full_like(dead, -np.inf), data["labels"]) == (0.0, 1.0)
    path = plot_errors(**data | {"maps": dead}, threshold=0.5, path=tmp_path / "errors.png")
    assert near(pixels(path)[:, 380:560], "#FCFFA4").any()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_plot_grows_with_its_rows(tmp_path, ending):
    paths = [
        plot_errors(**predictions(), threshold=0.5, path=tmp_path / f"{n}.{ending}", count=n)
        for n in (1, 3)
    ]
    (one, wide), (three, same) = (pixels(path).shape[:2] for path in paths)
    assert wide == same == 768
    assert three - one == pytest.approx(2 * 120 * (1.495 + 0.28), abs=2)


def test_captions_color_hits_and_errors(tmp_path):
    data = predictions()
    right = pixels(plot_errors(**data, threshold=0.5, path=tmp_path / "right.png"))
    wrong = pixels(plot_errors(**data, threshold=2.0, path=tmp_path / "wrong.png", count=1))
    # The captions begin above the first panel, where no map has colors of its own.
    assert near(right[:, :190], GREEN).any()
    assert not near(right[:, :190], VERMILION).any()
    assert near(wrong[:, :190], VERMILION).any()
    assert not near(wrong[:, :190], GREEN).any()


def test_errors_without_masks_or_threshold(tmp_path):
    data = predictions() | {"masks": None}
    path = plot_errors(**data, threshold=None, path=tmp_path / "deep" / "errors.jpg")
    assert not near(pixels(path), CYAN).any()


def test_jpeg_of_photographs_is_small(tmp_path):
    side = 256
    noise = np.random.default_rng(0).normal(110, 30, (8, side, side))
    grain = np.clip(uniform_filter(noise, (1, 3, 3)), 0, 255).astype(np.uint8)
    data = predictions(8, side) | {"images": np.repeat(grain[..., None], 3, axis=3)}
    path = plot_errors(**data, threshold=0.5, path=tmp_path / "errors.jpg")
    assert path.stat().st_size < 300_000


def test_histogram_shows_both_kinds_and_both_thresholds(tmp_path):
    scores = np.r_[np.linspace(0, 0.4, 50), np.linspace(0.6, 1, 50)]
    labels = np.arange(100) >= 50
    thresholds = {"calibrated_p95": 0.5, "best_f1": 0.6, "absent": None}
    path = plot_scores(scores, labels, thresholds, tmp_path / "h.png", "title")
    picture = pixels(path)
    assert picture.shape == (760, 1280, 3)
    for color in (BLUE, ORANGE, GREEN, VERMILION):
        assert near(picture, color).any()
    # Normal scores lie left of the calibrated threshold, defective ones right of it.
    plot = picture[60:560]
    line = np.nonzero(near(plot, GREEN))[1].mean()
    assert np.nonzero(near(plot, BLUE))[1].max() < line < np.nonzero(near(plot, ORANGE))[1].min()


ALL_THRESHOLDS = {
    "f1_percentile": 0.11,
    "f1_uniform": 0.12,
    "youden_j": 0.13,
    "normal_p95": 0.14,
    "sigma_3": 0.15,
    "pixel_best_f1": 0.16,
    "pixel_calibrated": 0.17,
}


def test_histogram_draws_the_calibrated_and_the_best_threshold_alone(tmp_path):
    scores, labels = np.linspace(0, 1, 100), np.arange(100) >= 50
    two = {"calibrated_p95": 0.5, "best_f1": 0.6}
    paths = [
        plot_scores(scores, labels, own, tmp_path / f"{len(own)}.png", "title")
        for own in (two, two | ALL_THRESHOLDS)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("title", ["short", "padim_resnet18-" + 30 * "mvtec_style.part-"])
def test_title_and_legend_are_not_cut(tmp_path, title):
    scores = np.linspace(1.23456e-5, 1.98765e-5, 1000)
    thresholds = {"calibrated_p95": 1.234567e-5, "best_f1": 1.345678e-5}
    path = plot_scores(scores, np.arange(1000) > 400, thresholds, tmp_path / "h.png", title)
    dark = pixels(path).sum(axis=2) < 600
    # A margin without ink all around: nothing reaches an edge.
    edges = [dark[:4], dark[-4:], dark[:, :4], dark[:, -4:]]
    assert [edge.any() for edge in edges] == [False] * 4


def test_letters_are_readable_at_half_the_size(tmp_path):
    path = plot_scores(np.linspace(0, 1, 50), np.arange(50) > 25, {}, tmp_path / "h.png", "title")
    with Image.open(path) as image:
        half = np.asarray(image.convert("L").resize((image.width // 2, image.height // 2)))
    # The first legend entry: the tallest run of rows with dark pixels right of its patch.
    text = (half[-60:, 45:200] < 120).any(axis=1)
    runs = "".join("x" if row else " " for row in text).split()
    assert max(map(len, runs)) >= 9


def test_rows_that_differ_in_weights_alone_say_so():
    records = [
        make("rd_resnet18", seed=s, pretrained=p, auroc=0.9 if p else 0.6)
        for s in range(3)
        for p in (True, False)
    ]
    records += [make("rd_convnext", seed=s) for s in range(3)]
    own = make_board(records).studies[0]
    panel = next(_panels(own, named=True))
    labels = [label.rpartition("  ")[0] for label in panel.labels()]
    assert sorted(labels) == ["rd_convnext", "rd_resnet18 pretrained", "rd_resnet18 scratch"]
    assert panel.title.endswith(f"smoke, {own.machine}")


def test_maps_of_two_pictures_share_a_given_scale(tmp_path):
    data = predictions(count=2)
    faint = data | {"maps": data["maps"] / 10}
    scale = normal_scale(data["maps"], data["labels"])
    right = slice(int(120 * (0.12 + 2 * 1.555)), int(120 * (0.12 + 3 * 1.555)))
    means = []
    for own, given in ((data, None), (faint, None), (faint, scale)):
        path = plot_errors(**own, threshold=None, path=tmp_path / "e.png", count=1, scale=given)
        means.append(pixels(path)[70:240, right].mean())
    own_scale, same_by_own, fainter = means
    assert same_by_own == pytest.approx(own_scale, abs=0.5)
    assert fainter < own_scale - 20


def test_histogram_of_one_kind_and_without_thresholds(tmp_path):
    path = plot_scores(np.ones(4), np.zeros(4), {}, tmp_path / "h.png", "normal only")
    assert near(pixels(path), BLUE).any()
    assert not near(pixels(path), ORANGE).any()


def test_learning_curve_falls_with_the_loss(tmp_path):
    record = make(curve=[[8.0 * i, 2.0 - i / 100] for i in range(1, 100)])
    picture = pixels(plot_learning_curve(record, tmp_path / "curve.png"))
    # Left of the legend, which has a line of that color too.
    rows, columns = np.nonzero(near(picture[100:550, 133:800], BLUE))
    assert np.corrcoef(rows, columns)[0, 1] > 0.99


def test_learning_curve_needs_a_loss(tmp_path):
    with pytest.raises(ValueError, match="no training loss"):
        plot_learning_curve(make(), tmp_path / "curve.png")


def test_leaderboard_picture_shows_better_further_right(tmp_path):
    records = [make("rd_resnet18", "surface.woven", s, 0.60 + s / 100) for s in range(3)]
    records += [make("rd_convnext", "surface.woven", s, 0.95 + s / 100) for s in range(3)]
    path = leaderboard_picture(records, tmp_path / "leaderboard.png")
    plot = pixels(path)[50:-180]
    assert np.nonzero(near(plot, BLUE))[1].max() < np.nonzero(near(plot, ORANGE))[1].min()
    # The better one is also higher up.
    assert np.nonzero(near(plot, ORANGE))[0].max() < np.nonzero(near(plot, BLUE))[0].min()


def test_leaderboard_picture_has_a_panel_per_study_and_dataset(tmp_path):
    one = [make("rd_resnet18", "mvtec.bottle")]
    two = [*one, make("rd_resnet18", "mvtec.screw")]
    widths = [
        pixels(leaderboard_picture(records, tmp_path / f"{len(records)}.png")).shape[1]
        for records in (one, two)
    ]
    # Two studies have one category panel each, as no mean is complete; panels are 4.9 inches wide.
    assert widths == [1960, 1960]


def test_titles_of_narrow_panels_are_not_cut(tmp_path):
    long = [make("supersimplenet_supervised_resnet18", f"{n * 'a'}.tile") for n in (30, 31)]
    picture = pixels(leaderboard_picture(long, tmp_path / "leaderboard.png"))
    assert near(picture[:, -2:], "#ffffff").all()


def test_leaderboard_picture_needs_values(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        leaderboard_picture([make(auroc=None)], tmp_path / "leaderboard.png")


def test_leaderboard_picture_is_deterministic(tmp_path):
    records = [make("rd_resnet18", seed=s, auroc=0.9 + s / 100) for s in range(3)]
    paths = [
        leaderboard_picture(order, tmp_path / f"{i}.png")
        for i, order in enumerate((records, records[::-1]))
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    "scores",
    [
        5e6 + 4 * np.random.default_rng(0).random(83, np.float32),
        1 - 1e-6 * np.random.default_rng(0).random(400, np.float32),
        np.array([1.0, np.inf, 2.0, -np.inf], np.float32),
        np.full(4, np.inf, np.float32),
    ],
    ids=["far from zero", "saturated", "some infinite", "all infinite"],
)
def test_scores_of_any_range_are_drawn(scores, tmp_path):
    scores = scores.astype(np.float32)
    labels = np.arange(len(scores)) % 2
    assert plot_scores(scores, labels, {}, tmp_path / "h.png", "title").exists()
