"""Published values of the zoo: as in the file, with the reasons why some are not comparable."""

from collections import Counter

import pytest

from bench.aggregate.korean import KOREAN
from bench.aggregate.language import language
from bench.aggregate.published import against_published
from bench.aggregate.reference import MEAN
from bench.studies.anomaly_zoo.references import DATASETS, METRICS, published_rows, zoo_references
from datasets_lib.catalog import DATASETS as CATALOG
from models.catalog import MODELS


@pytest.fixture(scope="module")
def rows():
    return published_rows()


@pytest.fixture(scope="module")
def own(rows):
    """Rows of our configurations."""
    return [row for row in rows if row["model"]]


def test_every_published_value_is_carried_over(rows):
    assert len(rows) == 6_315
    keys = Counter(tuple(v for name, v in row.items() if name != "value") for row in rows)
    assert max(keys.values()) == 1
    qualities = [row for row in rows if row["metric"] not in {"fps", "latency_ms"}]
    assert all(0 <= float(row["value"]) <= 1 for row in qualities)


def test_values_are_those_of_the_file(own):
    values = {
        (r.model, r.dataset, r.category): r.metrics
        for r in zoo_references(own)
        if r.source.startswith(
            ("PatchCore paper", "anomalib README (layers1-3; README 2021-12; res")
        )
    }
    assert values["patchcore", "mvtec", MEAN] == {
        "image_auroc": 0.99,
        "pixel_auroc": 0.981,
        "aupro_30": 0.935,
    }
    assert values["padim_resnet18", "mvtec", MEAN]["image_auroc"] == 0.891
    assert values["padim_resnet18", "mvtec", "carpet"]["image_auroc"] == 0.945


def test_models_and_recipes_are_ours(own):
    for name in {row["model"] for row in own}:
        model, _, recipe = name.partition(".")
        assert (recipe or "baseline") in MODELS[model].recipes


def test_backbones_are_those_of_our_configurations(own):
    for row in own:
        weights = MODELS[row["model"].partition(".")[0]].weights
        if weights and not row["model"].startswith(("dinomaly", "dsr")):
            assert row["backbone"].partition(".")[0] == weights.partition(".")[0]


def test_a_model_for_all_categories_is_none_of_ours(own):
    assert not [r for r in own if "multi" in r["config"] or r["source"].startswith("ADer")]


@pytest.mark.parametrize(
    ("source", "metric", "words"),
    [
        ("anomalib README", "aupro", "3718"),
        ("anomalib README (history)", "aupro", "3718"),
        ("RD4AD paper", "aupro", "per defective image"),
        ("CFA official README", "image_auroc", "chosen on the test set"),
        ("CFLOW-AD paper Table 3", "image_auroc", "three image sizes"),
    ],
)
def test_values_of_a_different_thing_say_so(own, source, metric, words):
    found = [r for r in own if r["source"] == source and r["metric"] == metric]
    found = [r for r in found if r["method"] not in {"padim", "dfm"}]  # below, for dfm
    assert found
    assert all(words in row["caution"] for row in found)
    shown = [r for r in zoo_references(found) if METRICS[metric] in r.cautions]
    assert {reference.model for reference in shown} == {row["model"] for row in found}


def test_dfm_of_another_pooling_has_a_caution_and_no_band(own):
    rows = [r for r in own if r["method"] == "dfm" and "pooling 2" in r["config"]]
    assert {r["model"] for r in rows} == {"dfm"}
    assert all("it pools features by 2, ours by 4" in r["caution"] for r in rows)
    references = zoo_references(rows)
    assert any(r.category == MEAN for r in references)
    for each in against_published([], references, "standard"):
        assert "ours by 4" in each.caution
        assert each.band is None
    assert all(not r.metrics.keys() - r.cautions.keys() for r in references)


ANOTHER_COMPUTATION = [
    ("csflow_768", "anomalib README", "the product of three scales", {"pixel_auroc"}),
    ("csflow", "anomalib README", "the product of three scales", {"pixel_auroc"}),
    ("uninet", "anomalib README", "temperature", {"image_auroc", "f1_best", "pixel_auroc"}),
    ("dsr", "DSR paper", "a crop of 224 px", {"pixel_ap"}),
    ("dinomaly_base_392", "anomalib README", "not blurred", {"pixel_auroc"}),
    ("dinomaly_base_392", "Dinomaly paper", "at 256 px, ours at 392", {"pixel_ap", "aupro_30"}),
    ("uflow_mcait", "U-Flow paper", "vary by category", {"pixel_auroc", "aupro_30"}),
    ("efficientad_small", "nelson1425/EfficientAD results", "original images", {"aupro_30"}),
    ("efficientad_medium", "nelson1425/EfficientAD results", "original images", {"aupro_30"}),
]
"""Of a model and source: words of the caution, and the metrics that have it."""


def test_what_was_published_is_ours_in_every_respect_or_says_why_not(own):
    cautions = {r["publication"]: r["caution"] for r in own}
    models = {r["publication"]: r["model"] for r in own}
    assert cautions["14"] == "it pools features by 2, ours by 4"
    assert cautions["1233"] == cautions["55"] == "its checkpoint was chosen on the test set"
    # Their losses leave out the log-determinant of the norms.
    assert {models[number] for number in ("24", "1201")} == {"fastflow_resnet18.reimplementation"}
    assert {models[number] for number in ("25", "1200")} == {"fastflow.reimplementation"}
    # Noise is added above .2 on MVTec AD and above .6 on VisA.
    thresholds = {(r["dataset"], r["model"]) for r in own if r["method"] == "supersimplenet"}
    assert thresholds == {
        ("mvtec_ad", "supersimplenet"),
        ("visa", "supersimplenet.threshold06"),
    }
    references = zoo_references(own)
    for model, source, words, metrics in ANOTHER_COMPUTATION:
        found = [r for r in references if r.model == model and r.source.startswith(source)]
        assert {name for r in found for name in r.cautions} == metrics
        for reference in found:
            assert reference.cautions.keys() == reference.metrics.keys() & metrics
            assert all(words in caution for caution in reference.cautions.values())


def test_every_caution_is_shown_in_the_language_of_the_table(own):
    assert {row["caution"] for row in own} - {""} <= KOREAN.keys()
    references = [r for r in zoo_references(own) if r.model == "csflow" and r.cautions]
    assert references
    with language("ko"):
        found = [each.caution for each in against_published([], references, "standard")]
    assert set(found) == {"", KOREAN["its map is the product of three scales, ours the finest"]}


def test_flagged_rows_are_every_overlap_and_precision_of_anomalib(rows):
    for row in rows:
        if row["source_kind"] == "anomalib" and row["metric"] in {"aupro", "image_ap", "pixel_ap"}:
            assert row["caution"]


def test_overlap_by_the_same_definition_is_comparable(own):
    shown = {
        r.source.partition(" (")[0]
        for r in zoo_references(own)
        if "aupro_30" in r.metrics and "aupro_30" not in r.cautions
    }
    assert "PatchCore paper arXiv 2106.08265" in shown
    assert not any(source.startswith(("anomalib", "RD4AD")) for source in shown)


def test_categories_are_ours(own):
    for r in zoo_references(own):
        assert r.category == MEAN or r.category in CATALOG[r.dataset].categories


@pytest.mark.parametrize("other", [{"dataset": "real_iad"}, {"metric": "fps"}])
def test_figures_of_another_question_are_left_out(own, other):
    row = next(row for row in own if row["source"].startswith("PatchCore paper"))
    assert len(zoo_references([row])) == 1
    assert not zoo_references([row | other])
    assert set(DATASETS.values()) <= set(CATALOG)
