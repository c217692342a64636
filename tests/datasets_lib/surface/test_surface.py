"""What an image of `surface` promises: its own seed, an exact mask, no give-away."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from datasets_lib.surface import CATEGORIES, KINDS, SIZE, VERSION
from datasets_lib.surface.render import VISIBLE, render, render_flawless

DEFECTS = [(category, kind) for category in CATEGORIES for kind in KINDS]

# Mean gray level of one image of each kind in each category, and the pixels of its mask. If this
# fails, the drawing code changed: give VERSION a new value and write what it draws here. Loose
# enough for another machine's last-digit rounding.
SIGNATURES = {
    "1": {
        ("woven", "scratch"): (101.90, 440),
        ("woven", "stain"): (97.56, 1212),
        ("woven", "crack"): (109.98, 600),
        ("woven", "missing_part"): (89.90, 978),
        ("woven", "misplacement"): (109.26, 3867),
        ("brushed", "scratch"): (137.24, 94),
        ("brushed", "stain"): (127.73, 624),
        ("brushed", "crack"): (130.10, 129),
        ("brushed", "missing_part"): (114.64, 180),
        ("brushed", "misplacement"): (133.76, 434),
        ("grained", "scratch"): (132.85, 138),
        ("grained", "stain"): (155.51, 761),
        ("grained", "crack"): (124.04, 531),
        ("grained", "missing_part"): (131.69, 745),
        ("grained", "misplacement"): (125.48, 1036),
        ("printed", "scratch"): (186.94, 461),
        ("printed", "stain"): (179.76, 1165),
        ("printed", "crack"): (188.38, 502),
        ("printed", "missing_part"): (177.38, 435),
        ("printed", "misplacement"): (171.66, 174),
    }
}


@cache
def drawn(category, kind, index):
    """A defective test image and its mask, rendered once for the tests that only look."""
    return render(category, "test", kind, index)


def test_importing_the_package_imports_no_array_library():
    code = (
        "import sys, datasets_lib.surface as s; s.CATEGORIES, s.COUNTS, s.VERSION;"
        "sys.exit(bool({'numpy', 'scipy', 'PIL', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("category", "kind"), DEFECTS)
def test_pixels_match_their_version(category, kind):
    image, mask = drawn(category, kind, 1)
    gray, area = SIGNATURES[VERSION][category, kind]
    assert image.mean() == pytest.approx(gray, abs=0.02)
    assert int(mask.sum()) == pytest.approx(area, abs=4)


def test_an_image_depends_on_nothing_but_its_place():
    places = [("woven", "train", "good", 3), ("printed", "test", "crack", 2)]
    forwards = [render(*place) for place in places]
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    backwards = [render(*place) for place in reversed(places)][::-1]
    for (image, mask), (again, mask_again) in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, mask_again)


def test_neighboring_seeds_share_nothing():
    places = [
        ("grained", "train", "good", 0),
        ("grained", "train", "good", 1),
        ("grained", "test", "good", 0),
        ("grained", "test", "crack", 0),
    ]
    noise = [np.diff(render_flawless(*place).astype(float), axis=1).ravel() for place in places]
    correlation = np.corrcoef(noise) - np.eye(len(places))
    assert np.abs(correlation).max() < 0.1


@pytest.mark.parametrize(("category", "kind"), DEFECTS)
def test_a_mask_is_exactly_what_the_defect_changed(category, kind):
    for index in range(2):
        image, mask = drawn(category, kind, index)
        flawless = render_flawless(category, "test", kind, index)
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (SIZE, SIZE)
        assert mask.dtype == np.bool_
        change = np.abs(image.astype(int) - flawless).max(axis=2)
        assert change[~mask].max() == 0
        assert (change[mask] >= VISIBLE).mean() > 0.5


@pytest.mark.parametrize(("category", "kind"), DEFECTS)
def test_a_defect_is_small_and_in_few_pieces(category, kind):
    for index in range(3):
        _, mask = drawn(category, kind, index)
        assert 0.0007 < mask.mean() < 0.09
        assert label(mask, np.ones((3, 3)))[1] <= 12


def test_a_good_image_has_an_empty_mask():
    assert not render("brushed", "test", "good", 0)[1].any()


@pytest.mark.parametrize(
    "place",
    [("velvet", "test", "good", 0), ("woven", "train", "crack", 0), ("woven", "test", "x", 0)],
)
def test_unknown_image_is_refused(place):
    with pytest.raises(ValueError, match="woven, brushed, grained, printed"):
        render(*place)


@pytest.mark.parametrize("category", CATEGORIES)
def test_brightness_and_difference_from_the_mean_do_not_tell_defects(category):
    train = np.stack([render_flawless(category, "train", "good", i) for i in range(10)])
    good = [render_flawless(category, "test", "good", i) for i in range(12)]
    bad = [drawn(category, kind, i)[0] for kind in KINDS for i in range(3)]
    test, labels = np.stack(good + bad), [0] * len(good) + [1] * len(bad)
    brightness = np.abs(test.mean(axis=(1, 2, 3)) - train.mean())
    difference = np.abs(test - train.mean(axis=0)).max(axis=(1, 2, 3))
    assert roc_auc_score(labels, brightness) < 0.8
    assert roc_auc_score(labels, difference) < 0.8
