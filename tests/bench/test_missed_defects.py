"""A session says where a threshold misses most defects, and what moves it."""

import numpy as np
import pytest
from fake_records import make

from bench.metrics.outcomes import pack_scores
from bench.missed_defects import missed_defects
from bench.predict.decision import Sensitivity, how_to_move


def finished(recall, auroc, held_out, *, data="parts.all", seed=0, limit=None):
    record = make("padim_resnet18", data, seed, auroc, metrics={"recall": recall})
    record.fingerprints["images"]["calibration"] = held_out
    record.protocol["train_limit"] = limit
    scores = pack_scores(range(25), [0] * 12 + [1] * 13)
    record.outcomes = {"score": {"image_auroc": scores}}
    return record


def test_the_line_counts_defects_and_names_what_to_do():
    (line,) = missed_defects([finished(0.0, 0.93, 5)])
    assert line == (
        "padim_resnet18-parts.all-default-pretrained-s0: its threshold, set by 5 held-out images, "
        "finds 0 of 13 defective images: predict --sensitivity 0.66 (leaves their highest score "
        "out) or --threshold N moves it; or add good images (about 240 hold out 19)"
    )


@pytest.mark.parametrize(
    ("recall", "auroc", "held_out", "said"),
    [
        (0.49, 0.93, 5, True),
        (0.50, 0.93, 5, False),
        (0.30, 0.75, 5, True),
        (0.30, 0.65, 5, False),  # no threshold helps
        (0.30, 0.75, 19, False),  # what this AUROC gives at 5 % false alarms
        (0.30, 0.95, 19, True),
        (None, 0.95, 19, False),
        (0.30, 0.95, 0, False),  # there is no threshold
    ],
)
def test_only_thresholds_that_are_to_blame_are_named(recall, auroc, held_out, said):
    assert bool(list(missed_defects([finished(recall, auroc, held_out)]))) == said


@pytest.mark.parametrize(
    ("data", "limit", "hint"),
    [
        ("parts.all", None, "add good images (about 240 hold out 19)"),
        ("parts.all", 64, "add good images (about 240 hold out 19 under --profile standard)"),
        ("mvtec.bottle", 64, "use more of its images with --profile standard"),
        ("mvtec.bottle", None, "--threshold N moves it"),
    ],
)
def test_more_images_are_asked_for_where_they_help(data, limit, hint):
    (line,) = missed_defects([finished(0.0, 0.9, 6, data=data, limit=limit)])
    assert line.endswith(hint)


def test_older_records_have_a_share_and_many_lines_are_summed_up():
    records = [finished(0.25, 0.9, 1, seed=seed) for seed in range(5)]
    records[0].outcomes = {}
    first, second, _, rest = missed_defects(records)
    assert "1 held-out image, finds 25 % of the defective images: predict --threshold N" in first
    assert "finds 3 of 13" in second
    assert rest == "… and 2 more cases whose threshold misses most defects"


@pytest.mark.parametrize("count", range(2, 19))
def test_the_quantile_that_is_named_leaves_out_the_highest_score_alone(count):
    scores = tuple(np.arange(count, dtype=float))
    quantile = float(how_to_move(count).split()[1])
    assert Sensitivity(quantile).of(scores) == count - 2
