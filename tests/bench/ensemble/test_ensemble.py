"""Ensembles of runs whose scores are known: what is chosen, and what is reported."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from kept_runs import keep_run
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.ensemble.choose import choose, preferred
from bench.ensemble.combine import maximum, mean, rank_mean
from bench.ensemble.halves import selection_half
from bench.ensemble.members import NoMemberError, load_member, panels
from bench.ensemble.pixels import _statistics, load_maps, pixel_gain
from bench.metrics.bootstrap import auroc_of_scores, resamples

DEFECTIVE = np.arange(120) % 5 < 2
MODELS = ["padim_resnet18", "patchcore_resnet18", "dfm_resnet18", "stfpm_resnet18"]


@pytest.fixture
def runs(tmp_path):
    """Four runs of three families, with independent noise on different scales."""
    return [
        keep_run(tmp_path, model, 1.3, defective=DEFECTIVE, seed=seed, scale=10.0**seed)
        for seed, model in enumerate(MODELS)
    ]


def test_halves_are_disjoint_stratified_and_independent_of_order():
    names = [f"test/{place}.png" for place in range(101)]
    labels = [place < 30 for place in range(101)]
    half = selection_half(names, labels)
    bad = torch.tensor(labels)
    assert int((half & bad).sum()) == 15
    assert int((half & ~bad).sum()) in {35, 36}
    shuffled = np.random.default_rng(0).permutation(101)
    again = selection_half([names[i] for i in shuffled], [labels[i] for i in shuffled])
    assert torch.equal(again, half[shuffled])


def test_images_of_one_prefix_stay_in_one_half():
    names = [f"test/good/part{place // 4}_{place % 4}.png" for place in range(80)]
    half = selection_half(names, [place % 4 == 0 for place in range(80)], "part[0-9]+")
    by_part = half.reshape(20, 4)
    assert torch.equal(by_part.all(1), by_part.any(1))
    assert int(half.sum()) == 40


def test_images_that_an_optional_prefix_leaves_out_are_in_both_halves():
    names = [f"test/good/{place}.png" for place in range(20)]
    labels = [place % 4 == 0 for place in range(20)]
    half = selection_half(names, labels, "(part[0-9]+)?")
    assert torch.equal(half, selection_half(names, labels))


def test_combinations_equal_their_definitions():
    scores = np.random.default_rng(1).integers(0, 5, (3, 20)).astype(float)
    tensor = torch.from_numpy(scores)
    np.testing.assert_allclose(mean(tensor), scores.mean(0))
    np.testing.assert_allclose(maximum(tensor), scores.max(0))
    ranks = np.mean([rankdata(row) - 1 for row in scores], axis=0)
    np.testing.assert_allclose(rank_mean(tensor), ranks)


def test_resampled_aurocs_equal_those_of_repeated_images():
    scores = torch.from_numpy(np.random.default_rng(2).integers(0, 6, 40).astype(float))
    labels = torch.arange(40) % 3 == 0
    (drawn,) = resamples(labels, 5, 0)
    for value, counts in zip(auroc_of_scores(scores, labels)(drawn), drawn, strict=True):
        repeated = [each.repeat_interleave(counts).numpy() for each in (labels, scores)]
        assert float(value) == pytest.approx(roc_auc_score(*repeated))


def test_a_members_scale_is_that_of_its_held_out_images(runs):
    for run in runs:
        member = load_member(run)
        with np.load(run.folder / run.record.artifacts["scores"]) as file:
            normal, scores = file["calibration.score"].astype(float), file["scores.score"]
        median = np.median(normal)
        spread = 1.4826022185056018 * np.median(np.abs(normal - median))
        np.testing.assert_allclose(member.scores, (scores - median) / spread, rtol=1e-6, atol=1e-9)


def test_independent_members_gain_and_the_report_half_says_so(runs):
    (panel,) = panels(runs)
    choice = choose(panel, top=4)
    scores = torch.stack([member.scores for member in choice.chosen.members]).mean(0).numpy()
    single = choice.best_single.scores.numpy()
    for rows, value, gain in (
        (choice.half, choice.chosen.selection, choice.chosen.selection_gain),
        (~choice.half, choice.chosen.report, choice.chosen.gain.value),
    ):
        rows = rows.numpy()
        expected = roc_auc_score(DEFECTIVE[rows], scores[rows])
        assert value == pytest.approx(expected)
        assert gain == pytest.approx(expected - roc_auc_score(DEFECTIVE[rows], single[rows]))
    assert choice.chosen.gain.low < choice.chosen.gain.value < choice.chosen.gain.high
    assert choice.chosen.conclusion == "gain shown"
    assert choice.chosen.extra_ms == pytest.approx(10 * (len(choice.chosen.members) - 1))
    best = max(roc_auc_score(DEFECTIVE[choice.half], m.scores[choice.half]) for m in panel.members)
    own = choice.best_single.scores[choice.half]
    assert roc_auc_score(DEFECTIVE[choice.half], own) == pytest.approx(best)


def test_the_report_half_chooses_nothing(runs, tmp_path):
    before = choose(panels(runs)[0], top=4)
    path = tmp_path / runs[0].record.artifacts["scores"]
    for run in runs:
        path = run.folder / run.record.artifacts["scores"]
        with np.load(path) as file:
            arrays = dict(file)
        report = ~before.half.numpy()
        arrays["scores.score"][report] = np.random.default_rng(9).permutation(report.sum())
        np.savez(path, **arrays)
    after = choose(panels(runs)[0], top=4)
    assert [m.name for m in after.chosen.members] == [m.name for m in before.chosen.members]
    assert [m.name for m in after.ranked] == [m.name for m in before.ranked]
    assert after.chosen.selection == before.chosen.selection
    assert after.chosen.report != before.chosen.report


def test_members_that_repeat_each_other_gain_nothing(tmp_path):
    runs = [
        keep_run(tmp_path, model, 1.3, defective=DEFECTIVE, seed=0, scale=scale)
        for model, scale in zip(MODELS, (1.0, 5.0, 0.1, 30.0), strict=True)
    ]
    choice = choose(panels(runs)[0], top=4)
    assert len(choice.chosen.members) == 2  # the smallest of equal subsets
    assert choice.tied == 11
    assert choice.chosen.gain.value == 0
    assert choice.chosen.conclusion == "no gain shown"


def test_the_best_of_each_family_comes_first(runs):
    members = [load_member(run) for run in runs]  # two of memory, then two other families
    assert [m.family for m in members] == ["memory", "memory", "adaptation", "distillation"]
    assert preferred(members, 3) == (members[0], members[2], members[3])
    assert preferred(members, 4) == tuple(members)
    assert preferred(members[1:], 2) == (members[1], members[2])


def test_replicates_other_images_and_models_for_all_categories_do_not_join(runs, tmp_path):
    other = keep_run(tmp_path, "fre_resnet18", 1.0, defective=DEFECTIVE[:100])
    again = keep_run(tmp_path, MODELS[0], 0.1, defective=DEFECTIVE, seed=1)
    again = replace(
        again, record=replace(again.record, case=replace(again.record.case, replicate=1))
    )
    repainted = keep_run(tmp_path, "dfkde_resnet18", 0.1, defective=DEFECTIVE)
    repainted.record.fingerprints["images_sha256"] = "contents that changed"
    every = keep_run(tmp_path, "cfa_resnet18", 0.1, defective=DEFECTIVE)
    every.record.categories["score"] = {"a": {"image_auroc": 0.5}}
    (panel,) = panels([*runs, other, again, repainted, every])
    assert sorted(m.name for m in panel.members) == sorted(MODELS)
    assert panel.members[0].record.case.replicate == 0
    assert "100 test images" in panel.left_out[other.record.key.id]
    assert "differ" in panel.left_out[repainted.record.key.id]


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ("missing", "are missing"),
        ("torn", "cannot be read"),
        ("earlier", "--rerun"),
        ("equal", "no spread"),
        ("uncalibrated", "profile original"),
    ],
)
def test_a_run_that_cannot_join_says_why(tmp_path, how, part):
    run = keep_run(tmp_path, MODELS[0], 1.0, defective=DEFECTIVE)
    path = run.folder / run.record.artifacts["scores"]
    with np.load(path) as file:
        arrays = dict(file)
    if how == "missing":
        path.unlink()
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "equal":
        np.savez(path, **arrays | {"calibration.score": np.ones(4, np.float32)})
    else:
        np.savez(path, **{k: v for k, v in arrays.items() if not k.startswith("calibration")})
    if how == "uncalibrated":
        record = make_original(run.record)
        run = replace(run, record=record)
    with pytest.raises(NoMemberError, match=part):
        load_member(run)


def make_original(record):
    key = replace(record.key, profile="original")
    return replace(record, key=key, protocol=record.protocol | {"calibration": False})


def test_maps_are_combined_on_the_scale_of_normal_pixels(runs):
    choice = choose(panels(runs)[0], top=4)
    found = pixel_gain(choice)
    rows = (~choice.half).numpy()
    maps = {}
    for member in choice.ranked:
        kept = load_maps(member)
        with np.load(member.run.folder / member.record.artifacts["maps"]) as file:
            low, high = file["range.score"]
            raw = low + (high - low) * file["maps.score"].astype(float)
            center, spread = file["normal.score"]
        np.testing.assert_allclose(kept.maps, (raw - center) / spread, rtol=1e-4, atol=1e-4)
        maps[member] = (raw - center) / spread
    masks = kept.masks.numpy()
    best = max(
        maps, key=lambda m: average_precision_score(masks[~rows].ravel(), maps[m][~rows].ravel())
    )
    assert found.single is best
    truth = masks[rows].ravel()
    combined = np.mean([maps[m] for m in choice.chosen.members], axis=0)[rows].ravel()
    assert found.values["Pixel AUROC"][1] == pytest.approx(roc_auc_score(truth, combined), abs=1e-5)
    expected = average_precision_score(truth, combined)
    assert found.values["Pixel AP"][1] == pytest.approx(expected, abs=1e-3)
    for name, interval in found.gains.items():
        single, ours = found.values[name]
        assert interval.value == pytest.approx(ours - single, abs=5e-3)
        assert interval.low < interval.value < interval.high


def test_binned_pixel_values_equal_those_of_repeated_images():
    rng = np.random.default_rng(4)
    truth = torch.from_numpy(rng.random((6, 5, 5)) > 0.7)
    maps = torch.from_numpy(rng.normal(size=(6, 5, 5)) + truth.numpy()).float()
    (drawn,) = resamples(torch.zeros(6), 4, 0)
    statistics = _statistics(maps, truth)
    for row, counts in enumerate(drawn):
        repeated = [each.repeat_interleave(counts, 0).flatten() for each in (truth, maps)]
        for name, score in (
            ("Pixel AUROC", roc_auc_score),
            ("Pixel AP", average_precision_score),
        ):
            value = float(statistics[name](drawn)[row])
            assert value == pytest.approx(score(*repeated), abs=1e-12)


def test_a_member_without_maps_costs_the_pixel_metrics_alone(runs, tmp_path):
    choice = choose(panels(runs)[0], top=4)
    for member in choice.chosen.members:
        (tmp_path / member.record.artifacts["maps"]).unlink()
    with pytest.raises(NoMemberError, match="maps are missing"):
        pixel_gain(choice)
