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
    assert sum(len(r.metrics) for r in zoo_references(read_rows(FILES[0]))) == len(zoo)


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
