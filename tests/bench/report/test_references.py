"""Published values appear next to ours, unchanged, and only where they answer our question."""

from dataclasses import replace

import pytest
from fake_records import make
from read_markdown import read_tables, study_tables

from bench.aggregate.published import against_published
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import category_rows
from bench.protocol import PROFILES, resolve
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown
from bench.studies.anomaly_zoo.references import published as zoo_published
from bench.studies.anomaly_zoo.references import published_rows
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO as ZOO
from bench.studies.rd_backbone.references import published
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS


def test_values_are_those_of_the_files():
    every = [r for r in published_rows() if r["model"] == "rd_wide_resnet50_2"]
    rows = [r for r in every if r["source"] == "anomalib README"]
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


def published_tables(text, study="rd_backbone"):
    return [t for t in read_tables(text) if "Source" in t.headings and study_of(t) == study]


def study_of(table):
    return table.path[1].partition("`")[2].rstrip("`") or table.path[2].split("`")[1]


def test_references_are_rows_with_their_source():
    text = leaderboard_markdown([make(data="mvtec.bottle")])
    (table,) = published_tables(text)
    names = [row["Model"].text for row in table.rows]
    assert [name.startswith("rd_convnext") for name in names].count(True) == 2
    single = table.row("rd_convnext `single_scale`")
    assert single["Image AUROC"].text == "99.13"
    assert "at 0.06 of test scores" in single["Source"].notes[1]
    assert any("anomalib@b7233686" in row["Source"].notes[0] for row in table.rows)
    assert published_tables(leaderboard_markdown([make(data="surface.woven")])) == []


def whole(model, value, profile="standard", **fields):
    own = {"image_size": 256, "recipe": {"optimizer": "none", "epochs": 1}}
    fields.setdefault("protocol", own)
    names = DATASETS["mvtec"].categories
    return [make(model, f"mvtec.{name}", auroc=value, profile=profile, **fields) for name in names]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.891, "89.10 (+0.00, within ± 1.0)"),
        (0.900, "89.10 (+0.90, within ± 1.0)"),
        (0.880, "89.10 (−1.10, below ± 1.0)"),
        (0.950, "89.10 (+5.90, above ± 1.0)"),
    ],
)
def test_a_whole_mean_is_judged_by_its_band(value, cell):
    text = leaderboard_markdown(whole("padim_resnet18", value))
    (table, *_) = published_tables(text, "anomaly_zoo")
    assert table.path[-1] == "mvtec: mean over 15 categories"
    row = next(row for row in table.rows if row["Source"].text == "anomalib README")
    assert row["Image AUROC"].text == cell


def test_tiled_images_are_of_another_size_than_published_ones():
    protocol = {"image_size": 256, "tiles": [2, 2], "recipe": {"optimizer": "none", "epochs": 1}}
    text = leaderboard_markdown(whole("padim_resnet18", 0.95, protocol=protocol))
    (table, *_) = published_tables(text, "anomaly_zoo")
    row = next(row for row in table.rows if row["Source"].text == "anomalib README")
    assert "above" not in row["Image AUROC"].text
    assert "2x2 tiles" in "".join(row["Image AUROC"].notes)


@pytest.mark.parametrize(
    "fields",
    [
        {"profile": "smoke"},
        {"pretrained": False},
        {"protocol": {"images_seen": 5, "recipe": {"optimizer": "adam", "epochs": 20}}},
    ],
)
def test_random_weights_and_part_of_a_budget_are_never_compared(fields):
    text = leaderboard_markdown(whole("padim_resnet18", 0.891, **fields))
    cells = [
        row["Image AUROC"].text for t in published_tables(text, "anomaly_zoo") for row in t.rows
    ]
    assert cells
    assert not any("(" in cell for cell in cells)


def test_single_categories_have_a_difference_and_no_band():
    text = leaderboard_markdown(whole("padim_resnet18", 0.9))
    by_path = {t.path[-1]: t for t in published_tables(text, "anomaly_zoo")}
    (name,) = [path for path in by_path if path.startswith("mvtec.carpet")]
    row = next(r for r in by_path[name].rows if r["Source"].text == "anomalib README")
    assert row["Image AUROC"].text == "94.50 (−4.50)"


def test_inflated_overlap_is_not_comparable_and_has_no_difference():
    records = whole("cfa", 0.98, metrics={"aupro_30": 0.9})
    (table, *_) = published_tables(leaderboard_markdown(records), "anomaly_zoo")
    cells = [row["AUPRO@30 %"] for row in table.rows if row["Source"].text == "anomalib README"]
    assert cells
    for cell in cells:
        assert "(" not in cell.text
        assert cell.notes == (
            "Not comparable: anomalib up to 2.2 gives it too high (its issue 3718).",
        )


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


def test_empty_published_cells_are_explained_below_their_table():
    fields = {"measurements": {"fit_seconds": 5.0}}
    known, unknown = (whole(model, 0.9, **fields) for model in ("padim_resnet18", "autoencoder"))
    of_model = "Published is empty where we know of no comparable value."
    of_source = "A cell is empty where the source gives no such value."
    text = leaderboard_markdown([*known, *unknown])
    table, *_ = study_tables(text, "anomaly_zoo")
    assert table.texts("padim_resnet18")["Published"] != "–"
    assert table.texts("autoencoder")["Published"] == "–"
    assert of_model in text
    assert of_model not in leaderboard_markdown(known)
    empty = [
        any(cell.text == "–" for row in table.rows for cell in row.values())
        for table in published_tables(text, "anomaly_zoo")
    ]
    assert any(empty)
    assert text.count(of_source) == sum(empty)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({}, "99.40 anomalib"),
        ({"crop": 224}, "99.60 xiahaifeng1995"),
        ({"image_size": 128}, None),
        ({"recipe": {"optimizer": "adam", "epochs": 20}, "images_seen": 5}, None),
        ({"profile": "smoke"}, None),
    ],
)
def test_the_column_of_published_values_has_the_first_that_is_of_the_rows_conditions(
    fields, source
):
    protocol = {"image_size": 256, "recipe": {"optimizer": "none"}} | fields
    profile = protocol.pop("profile", "standard")
    record = make("padim_resnet18", "mvtec.bottle", profile=profile, protocol=protocol)
    text = leaderboard_markdown([record])
    assert published_tables(text, "anomaly_zoo")
    cell = study_tables(text, "anomaly_zoo")[0].rows[0].get("Published")
    assert source == (cell and f"{cell.text} {cell.notes[0].split()[0]}")


def test_zoo_tables_show_published_values_of_their_own_rows():
    bottle = {"data": "mvtec.bottle"}
    both = [make(model=model, **bottle) for model in ("padim_resnet18", "patchcore.anomalib")]
    for records in (both[:1], both):
        (table,) = published_tables(leaderboard_markdown(records), "anomaly_zoo")
        models = {row["Model"].text for row in table.rows}
        assert models == {record.case.variant for record in records}
        assert "efficientad" not in leaderboard_csv(records)


def test_a_changed_recipe_is_not_compared_with_what_was_published():
    def compared(**protocol):
        whole = {"recipe": {"optimizer": "none"}}
        record = make("padim", "mvtec.bottle", profile="standard", protocol=whole | protocol)
        rows = category_rows([record], ZOO)
        assert rows[0].budget_share == 1
        found = against_published(rows, zoo_published(("padim",)), "standard")
        return [each for each in found if each.ours is not None]

    assert compared()
    assert not compared(changed={"lr": 0.1})
    assert not compared(normalize=False)


@pytest.mark.parametrize(
    ("profile", "caution"),
    [("standard", "ours has 25 % of the paper's training budget"), ("paper", "")],
)
def test_a_shorter_training_than_the_papers_is_not_compared_with_it(profile, caution):
    name = "rd_wide_resnet50_2"  # 50 passes in `standard`, 200 in the paper
    protocol = resolve(MODELS[name], "baseline", PROFILES[profile]).as_dict()
    record = make(name, "mvtec.bottle", profile=profile, protocol=protocol)
    references = [r for r in zoo_published((name,)) if r.category == "bottle"]
    found = against_published(category_rows([record], ZOO), references, profile)
    assert {each.caution for each in found if each.ours is not None} == {caution}


def test_procedural_textures_are_not_compared_with_what_was_published():
    references = [r for r in zoo_published(("draem_plain",)) if r.category == "bottle"]

    def cautions(source):
        record = make(
            "draem_plain",
            "mvtec.bottle",
            metrics={"pixel_auroc": 0.9},
            profile="standard",
            pretrained=False,
            protocol={"recipe": {"optimizer": "none"}, "image_size": 256},
            fingerprints={"auxiliary_pictures": source},
        )
        rows = category_rows([record], ZOO)
        own = [r for r in against_published(rows, references, "standard") if r.ours is not None]
        return {each.caution for each in own}

    assert cautions("dtd") == {""}
    assert cautions("procedural") == {"ours is trained with procedural textures"}


def compared(model, data, references, heads=None, **protocol):
    """Return the comparisons of one run, by source and metric, with these metrics by head."""
    own = {"recipe": {"optimizer": "none"}} | protocol
    record = make(model, data, profile="standard", protocol=own)
    record = replace(record, metrics=heads or record.metrics)
    found = against_published(category_rows([record], ZOO), references, "standard")
    return {(each.reference.source.partition(" (")[0], each.metric): each for each in found}


@pytest.mark.parametrize(
    ("model", "size", "crop"),
    [("patchcore", 256, 224), ("patchcore_320", 366, 320), ("dinomaly_base_392", 448, 392)],
)
def test_images_of_another_size_are_not_compared(model, size, crop):
    references = [r for r in zoo_published((model,)) if r.category == "bottle"]
    references = [r for r in references if "image_auroc" in r.metrics]
    assert {r.image_size for r in references} == {f"{size}->{crop} crop"}

    def cautions(**protocol):
        found = compared(model, "mvtec.bottle", references, **protocol)
        return {each.caution for (_, metric), each in found.items() if metric == "image_auroc"}

    assert cautions(image_size=size, crop=crop) == {""}
    for other in (size, crop):
        (caution,) = cautions(image_size=other)
        assert caution == f"its images are {size}->{crop} crop px, ours {other}"


def test_pixels_of_a_published_crop_are_compared_with_those_within_ours():
    heads = {
        "score": {"image_auroc": 0.91, "pixel_auroc": 0.92, "aupro_30": 0.93},
        "score_crop": {"image_auroc": 0.81, "pixel_auroc": 0.82, "aupro_30": 0.83},
    }
    official = ("PatchCore paper arXiv 2106.08265", "patchcore-inspection results.csv")
    references = [r for r in zoo_published(("patchcore",)) if r.category == "bottle"]
    found = compared("patchcore", "mvtec.bottle", references, heads, image_size=256, crop=224)
    assert {source for source, _ in found} == set(official)
    for source in official:
        assert found[source, "image_auroc"].ours == 0.91  # images whose defect is cut away count
        assert found[source, "pixel_auroc"].ours == 0.82
        assert found[source, "aupro_30"].ours == 0.83
        assert not any(each.caution for each in found.values())


def test_pixels_of_another_size_or_of_a_whole_image_are_those_of_the_whole_image():
    heads = {"score": {"pixel_auroc": 0.92}, "score_crop": {"pixel_auroc": 0.82}}
    references = [r for r in zoo_published(("patchcore",)) if r.category == "bottle"]
    found = compared("patchcore", "mvtec.bottle", references, heads, image_size=512, crop=448)
    found = {key: each for key, each in found.items() if each.metric == "pixel_auroc"}
    assert len(found) == 2
    assert all(each.ours == 0.92 and "px, ours 512" in each.caution for each in found.values())
    references = [r for r in zoo_published(("padim_resnet18",)) if r.category == "bottle"]
    whole = compared("padim_resnet18", "mvtec.bottle", references, heads, image_size=256)
    assert whole["anomalib README", "pixel_auroc"].ours == 0.92
