"""The zoo in whole sessions: what models share, what their records say, what is left empty."""

import numpy as np
import pytest

from bench.store import Store

SHARING = "(padim or patchcore or stfpm or cfa or dfm) and resnet18 and scratch"


@pytest.fixture
def session(tiny_options, run_session):
    """Run a tiny session in this process, without pictures and speeds."""
    return lambda *more: run_session(*tiny_options, "--no-pictures", "--no-measurements", *more)


def scores(results, record):
    with np.load(results / record.artifacts["scores"]) as file:
        return file["scores.score"]


def test_models_that_tap_one_backbone_share_one_pass(session, forwards, tmp_path):
    run = ("-k", f"tiny and {SHARING}", "--images-seen", "18")
    session(*run).assert_outcomes(passed=5)
    records = Store(tmp_path / "results" / "runs").records()
    assert {record.case.model for record in records} == {
        *("padim_resnet18", "patchcore_resnet18", "stfpm_resnet18", "cfa_resnet18", "dfm_resnet18")
    }
    # Every image once: 18 fitted, 2 held out, 12 tested; two negatives check each contract.
    assert sum(forwards) == 20 + 12 + 5 * 2
    states = [record.fingerprints["feature_cache"] for record in records]
    assert states == ["cold", *["warm"] * 4]
    # A model that came second is charged for the first one's pass.
    seconds = {r.case.model: r.measurements["fit_seconds"] for r in records}
    assert all(value > 0 for value in seconds.values())
    # Without the cache, each model sees images; the scores are the same up to rounding.
    forwards.clear()
    off = tmp_path / "off"
    session(*run, "--no-feature-cache", "--results-dir", str(off))
    assert sum(forwards) > 5 * 32
    for shared, own in zip(records, Store(off / "runs").records(), strict=True):
        assert own.fingerprints["feature_cache"] == "off"
        first, second = scores(tmp_path / "results", shared), scores(off, own)
        np.testing.assert_allclose(first, second, rtol=2e-3, err_msg=shared.case.model)


def test_training_on_a_few_images_computes_no_features_of_the_others(session, tmp_path):
    run = ("-k", "tiny and stfpm_resnet18 and scratch", "--images-seen", "16")
    session(*run).assert_outcomes(passed=1)
    off = tmp_path / "off"
    session(*run, "--no-feature-cache", "--results-dir", str(off))
    (record,), (other,) = (Store(at / "runs").records() for at in (tmp_path / "results", off))
    assert record.fingerprints["features_computed"] == {"test": 12, "calibration": 2}
    first, second = scores(tmp_path / "results", record), scores(off, other)
    np.testing.assert_allclose(first, second, rtol=2e-3)


def test_an_image_only_model_leaves_pixel_columns_empty_with_their_reason(session, tmp_path):
    session("-k", "tiny and dfkde_resnet18 and scratch").assert_outcomes(passed=1)
    (record,) = Store(tmp_path / "results" / "runs").records()
    assert record.metrics["score"]["image_auroc"] is not None
    assert record.metrics["score"]["pixel_auroc"] is None
    assert "map" in record.reasons["score.pixel_auroc"]


@pytest.mark.slow
def test_one_pass_models_are_measured_too(tiny_options, run_session, store, tmp_path):
    measured = ("--measure-seconds", "10")  # enough even while other tests run in parallel
    result = run_session(*tiny_options, *measured, "-k", "tiny and padim_resnet18 and scratch")
    result.assert_outcomes(passed=1)
    (record,) = store.records()
    figures = record.measurements
    for name in ("fit_seconds", "inference_images_per_s", "latency_p50_ms", "parameters"):
        assert figures[name] > 0, name
    assert figures.get("train_images_per_s") is None  # no training step: fit seconds compare
    assert figures["trainable_parameters"] == 0
    assert "train_flops" not in figures
    assert record.curve == []
    assert {name.partition(".")[0] for name in record.artifacts} >= {"errors", "histogram"}
    text = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert "Fit (s)" in text
    assert "anomaly_zoo" in text


def test_zoo_tables_hold_reverse_distillation_by_its_papers_protocol(session, store, tmp_path):
    session("-k", "tiny and scratch and (rd_resnet18 or padim_resnet18)").assert_outcomes(passed=2)
    zoo = (tmp_path / "results" / "LEADERBOARD.md").read_text().partition("Study `anomaly_zoo`")[2]
    (rd,) = [record for record in store.records() if record.case.model == "rd_resnet18"]
    row = next(line for line in zoo.splitlines() if "rd_resnet18" in line and "AUROC" not in line)
    assert f"{100 * rd.metrics['multi_scale']['image_auroc']:.2f}" in row


@pytest.mark.slow
def test_efficientad_learns_from_what_is_not_held_out(session, store):
    session("-k", "tiny and efficientad_small and scratch").assert_outcomes(passed=1)
    (record,) = store.records()
    assert record.fingerprints["images"] == {"fit": 16, "calibration": 2, "test": 12, "held_out": 2}
    assert record.fingerprints["auxiliary_pictures"] == "procedural"
    assert record.status == "ok"


@pytest.mark.real_data
def test_weights_that_lack_a_tapped_layer_are_a_skip_with_the_reason(session, store, real_data):
    chosen = "tiny and pretrained and (dfkde_resnet18 or padim_resnet18)"
    result = session("-k", chosen, "--weights-dir", str(real_data / "weights"))
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["skipped 1: These are not*", "*layer4.0.conv1.weight*incomplete*"])
    assert [record.case.model for record in store.records()] == ["padim_resnet18"]
