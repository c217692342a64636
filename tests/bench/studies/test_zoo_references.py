"""Published values of the zoo: as in the file, and only where they answer its question."""

from collections import Counter

import pytest

from bench.aggregate.reference import FOLDER, MEAN, read_rows
from bench.studies.anomaly_zoo.references import (
    COMPARABLE,
    DATASETS,
    METRICS,
    method_of,
    published_of,
    zoo_references,
)
from datasets_lib.catalog import DATASETS as CATALOG
from models.catalog import MODELS

FILES = ("anomaly_zoo.csv", "reverse_distillation.csv")


@pytest.fixture(scope="module")
def rows():
    return [row for name in FILES for row in read_rows(name)]


def test_values_are_those_of_the_file(rows):
    values = {
        (r.model, r.dataset, r.category): r.metrics
        for r in zoo_references(rows)
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


def test_models_are_ours_and_arms_theirs():
    for label in COMPARABLE:
        name, _, head = label.partition(".")
        assert (head or "baseline") in MODELS[name].recipes


def test_backbones_are_those_of_our_configurations():
    for label, configurations in COMPARABLE.items():
        weights = MODELS[label.partition(".")[0]].weights
        assert {p.backbone for p in configurations} == {weights.partition(".")[0]}


def test_every_configuration_of_the_table_has_rows_and_every_row_an_answer(rows):
    listed = {(method_of(m), p) for m, published in COMPARABLE.items() for p in published}
    in_files = {(row["model"], published_of(row)) for row in rows}
    assert listed <= in_files
    # CFA's own values are of an epoch that was chosen on the test set.
    zoo = [r for r in read_rows(FILES[0]) if r["source"] != "CFA official README"]
    assert {(row["model"], published_of(row)) for row in zoo} == {
        pair for pair in listed if pair[0] != "reverse_distillation"
    }
    shown = zoo_references(read_rows(FILES[0]))
    assert sum(len(r.metrics) + len(r.reasons) for r in shown) == len(zoo)


@pytest.mark.parametrize(
    ("source", "metrics", "word"),
    [
        ("anomalib README", {"aupro_30"}, "3718"),
        ("RD4AD paper", {"aupro_30"}, "per defective image"),
        ("anomalib README (history) (layer3; pooling 2", set(METRICS.values()), "pools"),
    ],
)
def test_values_of_another_thing_leave_their_cells_empty_with_the_reason(
    rows, source, metrics, word
):
    chosen = [r for r in zoo_references(rows) if r.source.startswith(source)]
    assert chosen
    assert any(r.reasons for r in chosen)
    for reference in chosen:
        assert not metrics & set(reference.metrics)
        assert set(reference.reasons) <= set(METRICS.values())
    reasons = [why for r in chosen for name, why in r.reasons.items() if name in metrics]
    assert any(word in reason for reason in reasons)


def test_overlap_by_the_same_definition_stays(rows):
    shown = {r.source.partition(" (")[0] for r in zoo_references(rows) if "aupro_30" in r.metrics}
    assert {"PatchCore paper arXiv 2106.08265", "CFLOW-AD paper Table 3"} <= shown
    assert not any(source.startswith(("anomalib", "RD4AD")) for source in shown)


def test_the_file_is_small_and_has_no_figure_twice_and_none_beyond_its_range():
    rows = read_rows(FILES[0])
    assert (FOLDER / FILES[0]).stat().st_size < 400 * 1024
    keys = Counter(tuple(v for name, v in row.items() if name != "value") for row in rows)
    assert max(keys.values()) == 1
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert {row["dataset"] for row in rows} == set(DATASETS)
    assert {row["metric"] for row in rows} <= set(METRICS)


def test_categories_are_ours(rows):
    for r in zoo_references(rows):
        assert r.category == MEAN or r.category in CATALOG[r.dataset].categories


@pytest.mark.parametrize(
    "other",
    [
        {"config": "multi-class unified setting; 100 epochs"},
        {"config": "coreset 1%"},
        {"backbone": "resnet18"},
        {"image_size": ""},
        {"model": "padim"},
        {"dataset": "mpdd"},
        {"metric": "fps"},
    ],
)
def test_figures_of_another_question_are_left_out(rows, other):
    row = next(row for row in rows if row["source"].startswith("PatchCore paper"))
    assert len(zoo_references([row])) == 1
    assert not zoo_references([row | other])
