"""Published figures stand beside ours, unchanged, and only where they answer our question."""

import csv

from fake_records import make

from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown
from bench.report.references import FOLDER, MEAN, published_categories, references


def test_values_are_those_of_the_files():
    with (FOLDER / "reverse_distillation.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "anomalib README"]
    expected = {
        row["category"]: float(row["value"]) for row in rows if row["metric"] == "image_auroc"
    }
    found = {
        r.category: r.metrics["image_auroc"]
        for r in references()
        if r.source.startswith("anomalib") and r.study == "rd_backbone"
    }
    assert found == expected
    assert len(published_categories("mvtec")) == 15


def test_multi_class_and_unstated_backbones_are_left_out():
    sources = {r.source.split(" (")[0] for r in references() if r.study == "rd_backbone"}
    assert sources == {
        "the original study",
        "RD4AD paper",
        "anomalib README",
    }
    assert not any("multi-class" in r.source for r in references())


def test_the_original_study_is_told_by_arm():
    found = {
        (r.model, r.head): r.metrics["image_auroc"]
        for r in references()
        if r.source.startswith("the original")
    }
    assert found == {
        ("rd_resnet50", "single_scale"): 1.0,
        ("rd_convnext", "single_scale"): 0.9912698412698412,
        ("rd_convnext", "multi_scale"): 0.9936507936507937,
    }


def test_references_are_rows_with_their_source():
    text = leaderboard_markdown([make(data="mvtec.bottle")])
    assert text.count("rd_convnext (reference") == 2
    assert "99.13" in text
    assert "the original study (threshold 0.06 on min-max scaled test scores)" in text
    assert "anomalib@b7233686" in text
    assert "(reference" not in leaderboard_markdown([make(data="surface.woven")])


def test_original_thresholds_saw_the_test_set_so_they_fill_those_columns():
    for reference in references():
        assert not {"accuracy", "precision", "recall", "f1"} & reference.metrics.keys()


def test_a_published_mean_stands_only_beside_all_its_categories():
    names = sorted(published_categories("mvtec"))
    part = [make(data=f"mvtec.{name}") for name in names[:14]]
    whole = [*part, make(data=f"mvtec.{names[14]}")]
    assert "RD4AD paper" not in leaderboard_markdown(part)
    assert f",mvtec,{MEAN},15," not in leaderboard_csv(part)
    assert "RD4AD paper" in leaderboard_markdown(whole)
    assert leaderboard_csv(whole).count("reference,,,,mvtec,mean,15,multi_scale") == 2


def test_the_zoos_tables_show_what_was_published_of_their_own_rows():
    bottle = {"data": "mvtec.bottle", "study": "anomaly_zoo"}
    text = leaderboard_markdown([make(model="padim_resnet18", **bottle)])
    assert "padim_resnet18 (reference 1)" in text
    assert "patchcore" not in text
    both = [make(model=model, **bottle) for model in ("padim_resnet18", "patchcore.anomalib")]
    assert "patchcore.anomalib (reference" in leaderboard_markdown(both)
    assert "patchcore.anomalib" in leaderboard_csv(both)
    assert "efficientad" not in leaderboard_csv(both)
