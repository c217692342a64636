"""Published values stand next to ours, unchanged, and only where they answer our question."""

from fake_records import make

from bench.aggregate.reference import MEAN, read_rows
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown
from bench.studies.rd_backbone.references import published
from datasets_lib.catalog import DATASETS


def test_values_are_those_of_the_files():
    rows = [r for r in read_rows("reverse_distillation.csv") if r["source"] == "anomalib README"]
    expected = {r["category"]: float(r["value"]) for r in rows if r["metric"] == "image_auroc"}
    anomalib = [r for r in published(()) if r.source.startswith("anomalib")]
    assert {r.category: r.metrics["image_auroc"] for r in anomalib} == expected


def test_multi_class_and_unstated_backbones_are_left_out():
    references = list(published(()))
    sources = {r.source.split(" (")[0] for r in references}
    assert sources == {"the original study", "RD4AD paper", "anomalib README"}
    assert not any("multi-class" in r.source for r in references)


def test_original_study_has_values_of_both_heads():
    values = {
        (r.model, r.head): r.metrics["image_auroc"]
        for r in published(())
        if r.source.startswith("the original")
    }
    assert values == {
        ("rd_resnet50", "single_scale"): 1.0,
        ("rd_convnext", "single_scale"): 0.9912698412698412,
        ("rd_convnext", "multi_scale"): 0.9936507936507937,
    }


def test_references_are_rows_with_their_source():
    text = leaderboard_markdown([make(data="mvtec.bottle")])
    assert text.count("rd_convnext (reference") == 2
    assert "99.13" in text
    assert "at 0.06 of test scores scaled to 0 to 1, not at F1-max: accuracy 97.6" in text
    assert "anomalib@b7233686" in text
    assert "(reference" not in leaderboard_markdown([make(data="surface.woven")])


def test_original_thresholds_fill_no_column_of_ours():
    original = [r for r in published(()) if r.source.startswith("the original")]
    for reference in original:
        assert set(reference.metrics) == {"image_auroc"}
        assert {"accuracy_best_f1", "f1_best"} <= set(reference.reasons)


def test_published_mean_needs_a_mean_over_all_categories():
    names = sorted(DATASETS["mvtec"].categories)
    part = [make(data=f"mvtec.{name}") for name in names[:14]]
    whole = [*part, make(data=f"mvtec.{names[14]}")]
    assert "RD4AD paper" not in leaderboard_markdown(part)
    assert f",mvtec,{MEAN},15," not in leaderboard_csv(part)
    assert "RD4AD paper" in leaderboard_markdown(whole)
    assert leaderboard_csv(whole).count("reference,,,rd_backbone,mvtec,mean,15,multi_scale") == 2


def test_zoo_tables_show_published_values_of_their_own_rows():
    bottle = {"data": "mvtec.bottle"}
    text = leaderboard_markdown([make(model="padim_resnet18", **bottle)])
    assert "padim_resnet18 (reference 1)" in text
    assert "patchcore" not in text
    both = [make(model=model, **bottle) for model in ("padim_resnet18", "patchcore.anomalib")]
    assert "patchcore.anomalib (reference" in leaderboard_markdown(both)
    assert "patchcore.anomalib" in leaderboard_csv(both)
    assert "efficientad" not in leaderboard_csv(both)
