"""``python -m bench compare`` on small real artifacts, its values against other libraries."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_mixing import classified
from fake_records import make
from scipy.stats import binomtest, multinomial
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from bench.__main__ import main
from bench.metrics.bootstrap import average_precision_of_scores, best_f1_of_scores, resamples
from bench.metrics.comparison import compare_aurocs, compare_classifiers, compare_resampled
from bench.metrics.delong import auroc_test
from bench.metrics.paired import paired_difference
from bench.store import Store, read_records

NAMES = np.array([f"test/{place:03d}.png" for place in range(60)])
DEFECTIVE = np.arange(60) >= 25
A, B = "rd_resnet18", "rd_resnet50"


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def keep(results):
    """Return a function that stores a record with arrays as its artifact and returns its id."""

    def write(record, artifact, **arrays):
        folder = f"runs/{record.key.id}/{record.key.profile}"
        (results / folder).mkdir(parents=True, exist_ok=True)
        np.savez(results / folder / f"{artifact}.npz", **arrays)
        Store(results / "runs").append(
            replace(record, artifacts={artifact: f"{folder}/{artifact}.npz"})
        )
        return record.key.id

    return write


@pytest.fixture
def detectors(keep):
    """Store two anomaly runs, the second far better; return their ids and scores."""
    rng = np.random.default_rng(0)
    scores = [(rng.normal(0, 1, 60) + gap * DEFECTIVE).astype(np.float32) for gap in (0.2, 2)]
    ids = [
        keep(
            make(model, thresholds={"single_scale": {"calibrated_p95": 1.0}}),
            "scores",
            **{"names": NAMES, "labels": DEFECTIVE, "scores.single_scale": found},
        )
        for model, found in zip((A, B), scores, strict=True)
    ]
    return ids, scores


@pytest.fixture
def compare(results, capsys):
    """Return a function that runs the command and returns its code, output and errors."""

    def run(*arguments):
        code = main(["compare", *arguments, "--records", str(results / "runs" / "records.jsonl")])
        return code, *capsys.readouterr()

    return run


def percents(line):
    return [float(number) / 100 for number in re.findall(r"[-+]?\d+\.\d+(?= %| points|,|\])", line)]


def test_aurocs_are_compared_by_delong(detectors, compare):
    ids, scores = detectors
    code, out, _ = compare(*ids)
    assert code == 0
    interval, p = auroc_test(*map(torch.from_numpy, (*scores, DEFECTIVE)))
    first, second = (roc_auc_score(DEFECTIVE, found) for found in scores)
    lines = out.splitlines()
    assert percents(lines[1])[0] == pytest.approx(first, abs=5e-5)
    assert percents(lines[3])[0] == pytest.approx(second, abs=5e-5)
    difference = percents(lines[4])
    assert difference == pytest.approx([second - first, interval.low, interval.high], abs=5e-5)
    assert f"p = {p:.2g}" in lines[4]
    assert "DeLong" in out
    assert "The second is better" in out
    assert "The first is better" in compare(*ids[::-1])[1]


def test_a_quick_look_does_not_stand_for_a_whole_run(detectors, keep, compare, results):
    ids, scores = detectors
    expected = compare(*ids)[1]
    kept = {"names": NAMES, "labels": DEFECTIVE, "scores.single_scale": scores[1]}
    np.savez(results / "look.npz", **kept)
    look = make(A, protocol={"images_seen": 64}, recipe="64 images", finished="2026-02-01")
    Store(results / "runs").append(replace(look, artifacts={"scores": "look.npz"}))
    assert compare(*ids)[1] == expected
    short = make(A, "surface.woven", 2, protocol={"images_seen": 64})
    out = compare(ids[0], keep(short, "scores", **kept))[1]
    assert out.count("This run cannot rank: 3.2 % of its own budget.") == 1


def test_a_run_does_not_differ_from_itself(detectors, compare):
    (first, _), _ = detectors
    _, out, _ = compare(first, first, "--head", "single_scale")
    assert out.count("single_scale image_auroc") == 2
    assert "p = 1" in out
    assert "No difference is shown" in out


@pytest.mark.parametrize("metric", ["image_ap", "f1_best", "f1"])
def test_other_metrics_are_compared_by_resampling(detectors, compare, metric):
    ids, scores = detectors
    code, out, _ = compare(*ids, "--metric", metric)
    assert code == 0
    expected = {
        "image_ap": average_precision_score,
        "f1_best": lambda truth, found: max(f1_score(truth, found >= t) for t in found),
        "f1": lambda truth, found: f1_score(truth, found > 1),
    }[metric]
    lines = out.splitlines()
    for line, found in ((lines[1], scores[0]), (lines[3], scores[1])):
        value, low, high = percents(line)
        assert value == pytest.approx(expected(DEFECTIVE, found), abs=5e-5)
        assert low < value < high
    assert "bootstrap" in out
    assert "p = " not in out
    assert "The second is better" in out


@pytest.mark.parametrize("levels", [4, None])
def test_resampled_metrics_match_repeated_images(levels):
    rng = np.random.default_rng(1)
    scores = rng.normal(DEFECTIVE, 1)
    scores = np.round(scores * levels / 4) if levels else scores
    tensors = torch.from_numpy(scores), torch.from_numpy(DEFECTIVE)
    (drawn,) = resamples(tensors[1], 5, 0)
    found = average_precision_of_scores(*tensors)(drawn), best_f1_of_scores(*tensors)(drawn)
    for row, counts in enumerate(drawn.numpy()):
        values, truth = np.repeat(scores, counts), np.repeat(DEFECTIVE, counts)
        assert float(found[0][row]) == pytest.approx(average_precision_score(truth, values))
        best = max(f1_score(truth, values >= cut) for cut in values)
        assert float(found[1][row]) == pytest.approx(best)


def test_minus_infinity_is_never_flagged_and_no_defect_has_no_f1():
    scores = torch.tensor([0.0, -torch.inf, 1.0, -torch.inf])
    labels = torch.tensor([0, 0, 1, 1])
    statistic = best_f1_of_scores(scores, labels)
    found = statistic(torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    assert float(found[0]) == pytest.approx(2 / 3)
    assert found[1].isnan()


@pytest.fixture
def classifiers(keep):
    labels = np.arange(60) % 3
    first, second = labels.copy(), labels.copy()
    first[:14] = (labels[:14] + 1) % 3
    second[12:15] = (labels[12:15] + 1) % 3
    return [
        keep(
            classified(0.5, model=model),
            "predictions",
            names=NAMES,
            labels=labels,
            predicted=predicted,
        )
        for model, predicted in (("resnet50", first), ("resnet18", second))
    ]


def test_classifiers_are_compared_by_mcnemar(classifiers, compare):
    code, out, _ = compare(*classifiers)
    assert code == 0
    lines = out.splitlines()
    for line, right in ((lines[1], 46), (lines[3], 57)):
        interval = binomtest(right, 60).proportion_ci(method="wilson")
        assert percents(line) == pytest.approx([right / 60, *interval], abs=5e-5)
    assert percents(lines[4])[0] == pytest.approx(11 / 60, abs=5e-5)
    assert f"p = {binomtest(1, 13).pvalue:.2g}" in lines[4]
    assert "only the first is right on 1 images, only the second on 12" in out
    assert "The second is better" in out


def test_the_interval_of_a_paired_difference_covers_it():
    """Its coverage, summed over every outcome of 40 images, is close to nominal."""
    shares, images = np.array([0.15, 0.05, 0.8]), 40
    outcomes = [(a, b) for a in range(images + 1) for b in range(images + 1 - a)]
    chance = multinomial(images, shares).pmf([(a, b, images - a - b) for a, b in outcomes])
    held = [
        low <= shares[1] - shares[0] <= high
        for low, high in (paired_difference(a, b, images) for a, b in outcomes)
    ]
    assert 0.945 < chance[held].sum() < 0.98


def test_impossible_disagreements_are_an_error():
    for counts in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="disagreements"):
            paired_difference(*counts)


def test_verdicts_without_a_p_or_an_interval():
    labels = torch.tensor([0, 0, 1, 1])
    apart, mixed = torch.tensor([0.0, 1, 2, 3]), torch.tensor([0.0, 2, 1, 3])
    same = compare_resampled("image_ap", apart, apart, labels)
    assert same.verdict.startswith("Nothing can be said: every resample gives the same value")
    alone = compare_aurocs(apart[1:], mixed[1:], labels[1:])
    assert alone.verdict.startswith("Nothing can be said: one normal image")
    equal = compare_classifiers(labels == 1, labels == 1)
    assert (equal.p, equal.difference.value) == (1, 0)
    assert equal.verdict.startswith("No difference is shown")


def test_different_images_or_labels_are_errors(detectors, keep, compare):
    (first, _), scores = detectors
    moved, relabeled = NAMES.copy(), DEFECTIVE.copy()
    moved[3], relabeled[7] = "test/other.png", True
    for names, labels, words in (
        (moved, DEFECTIVE, "different test images (the first difference is image 3)"),
        (NAMES[:50], DEFECTIVE[:50], "different test images (60 and 50 of them)"),
        (NAMES, relabeled, "different labels (the first difference is image 7)"),
    ):
        arrays = {"names": names, "labels": labels, "scores.single_scale": scores[1][: len(names)]}
        second = keep(make(B, finished="2027"), "scores", **arrays)
        code, _, err = compare(first, second)
        assert code == 2
        assert words in err


def test_images_that_changed_under_their_names_are_noted(detectors, keep, compare):
    _, scores = detectors
    arrays = {"names": NAMES, "labels": DEFECTIVE, "scores.single_scale": scores[1]}
    of_shots = {"images_sha256": "b", "first_images_sha256": "a"}  # of another replicate
    for hashes, noted in (
        ({"images_sha256": "a"}, False),
        ({"images_sha256": "b"}, True),
        ({}, False),
        (of_shots, False),
    ):
        for model, own in ((A, {"images_sha256": "a"}), (B, hashes)):
            record = make(model, finished="2027", fingerprints=own)
            keep(record, "scores", **arrays)
        code, out, _ = compare(*detectors[0])
        assert code == 0
        assert ("changed between the runs" in out) == noted


def test_missing_runs_artifacts_and_heads_are_errors(detectors, classifiers, compare, results):
    (first, second), _ = detectors
    for arguments, words in (
        ((first, "rd_none-surface.woven-default-scratch-s0"), "no finished run of rd_none"),
        ((first, second, "--profile", "original"), "under profile original"),
        ((first, second, "--metric", "f2"), "metric f2"),
        ((first, second, "--head", "last_epoch"), "head last_epoch"),
        ((first, second, "--head", "multi_scale"), "scores.multi_scale"),
        ((first, classifiers[0], "--profile", "smoke"), "under profile smoke"),
        ((first, classifiers[0]), "Wanted two runs of one profile"),
    ):
        code, out, err = compare(*arguments)
        assert (code, out) == (2, "")
        assert words in err
    path = results / "runs" / second / "smoke" / "scores.npz"
    for damage in (lambda: path.write_bytes(path.read_bytes()[:200]), path.unlink):
        damage()
        code, _, err = compare(first, second)
        assert code == 2
        assert "--rerun" in err
    assert main(["compare", first, second, "--records", str(results / "none.jsonl")]) == 2


def test_f1_needs_a_calibrated_threshold(detectors, keep, compare):
    (first, _), scores = detectors
    reasons = {"single_scale.threshold.calibrated_p95": "no calibration split"}
    arrays = {"names": NAMES, "labels": DEFECTIVE, "scores.single_scale": scores[1]}
    second = keep(make(B, finished="2027", reasons=reasons), "scores", **arrays)
    code, _, err = compare(first, second, "--metric", "f1")
    assert code == 2
    assert "(no calibration split): compare f1_best" in err


def test_several_profiles_want_a_name(detectors, keep, compare):
    ids, scores = detectors
    for model in (A, B):
        arrays = {"names": NAMES, "labels": DEFECTIVE, "scores.single_scale": scores[0]}
        keep(make(model, profile="original"), "scores", **arrays)
    code, _, err = compare(*ids)
    assert code == 2
    assert "--profile" in err
    assert "No difference is shown" in compare(*ids, "--profile", "original")[1]
    assert "The second is better" in compare(*ids, "--profile", "smoke")[1]


def test_cases_of_two_datasets_are_named_as_the_cause(detectors, keep, compare):
    (first, _), scores = detectors
    other = make(B, "mvtec.wood", finished="2027")
    names = NAMES[:50]
    arrays = {"names": names, "labels": DEFECTIVE[:50], "scores.single_scale": scores[1][:50]}
    code, _, err = compare(first, keep(other, "scores", **arrays))
    assert code == 2
    assert "mvtec.wood" in err
    assert "one dataset and category" in err
    assert "--rerun" not in err


def test_records_without_the_files_of_their_runs_are_not_to_be_rerun(root, capsys):
    file = root / "results" / "baselines" / "rd_convnext_surface.jsonl"
    ids = sorted({record.key.id for record in read_records([file]) if record.status == "ok"})
    assert main(["compare", *ids[:2], "--records", str(file)]) == 2
    err = capsys.readouterr().err
    assert "--rerun" not in err
    assert "leave --records out" in err


def test_a_mistyped_id_is_answered_with_the_near_one(detectors, compare):
    (first, second), _ = detectors
    code, _, err = compare(first, second.replace("surface", "surfaec"))
    assert code == 2
    assert f"Did you mean {second}" in err or f"or {second}" in err
    assert "pytest bench" not in err


def test_a_unique_part_of_an_id_is_enough(detectors, keep, compare):
    expected = compare(*detectors[0])[1]
    keep(make("rd_resnet101", status="failed"), "scores", names=NAMES)
    assert compare("resnet18-surface", B)[1] == expected
    code, _, err = compare("resnet", B)
    assert code == 2
    assert "Wanted one case, found 2 with resnet in their id: " in err
    code, _, err = compare("resnet101", B)
    assert code == 2
    assert "no finished run of rd_resnet101-surface" in err
    assert "--profile smoke --image-size 128 --rerun" in err
