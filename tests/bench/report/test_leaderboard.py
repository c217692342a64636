"""Tables against figures computed by hand, with SciPy and pandas."""

import io
import math
import random
from dataclasses import replace
from statistics import fmean

import pandas
import pytest
from fake_records import make
from read_markdown import details, read_tables, study_tables
from scipy import stats

from bench.aggregate import rows as rows_of
from bench.aggregate.frame import comparable_runs, lines_of
from bench.aggregate.modes import is_usual
from bench.aggregate.ranking import rank_rows
from bench.record import from_json
from bench.report.leaderboard import (
    leaderboard_csv,
    leaderboard_markdown,
    summary_rows,
    write_leaderboard,
)
from bench.studies.rd_backbone.study import RD_BACKBONE as RD

THREE = (0.97, 0.98, 0.96)


def seeds_of(model, values, data="surface.woven", **fields):
    return [make(model, data, seed, value, **fields) for seed, value in enumerate(values)]


def cells(markdown, model, study="rd_backbone"):
    """Return the cells of a model's first row in a study's details, by heading."""
    return details(markdown, study, model)[0].texts(model)


def category_rows(records, study):
    """Return the rows of one category as a table orders them."""
    return [each.row for each in rank_rows(rows_of.category_rows(records, study)).rows]


def mean_rows(records, study):
    return rows_of.mean_rows(lines_of(records), study)


def ranks(rows):
    return [each.rank for each in rank_rows(rows).rows]


def read_csv(records):
    return pandas.read_csv(
        io.StringIO(leaderboard_csv(records)), dtype={"rank": str, "replicates": str}
    )


def test_mean_and_interval_are_scipys():
    text = leaderboard_markdown(seeds_of("rd_resnet18", THREE))
    half = stats.sem(THREE) * stats.t.ppf(0.975, 2)
    row = cells(text, "rd_resnet18")
    assert row["Image AUROC"] == f"97.00 ± {100 * half:.2f}" == "97.00 ± 2.48"
    assert row["Rank"] == "1"
    assert row["Seeds"] == "3"
    line = read_csv(seeds_of("rd_resnet18", THREE)).set_index("study").loc["rd_backbone"].iloc[0]
    assert line["image_auroc"] == pytest.approx(0.97)
    assert line["image_auroc_low"] == pytest.approx(0.97 - half)
    assert line["image_auroc_high"] == pytest.approx(0.97 + half)


def test_one_seed_has_no_interval_and_says_so():
    row = cells(leaderboard_markdown([make(auroc=0.91234)]), "rd_resnet18")
    assert row["Image AUROC"] == "91.23"
    assert row["Seeds"] == "1"
    assert row["Rank"] == "–"


def test_missing_values_are_dashes_with_their_reason():
    record = make(
        metrics={"pixel_auroc": None, "accuracy": math.nan},
        reasons={"single_scale.pixel_auroc": "there are no masks"},
    )
    text = leaderboard_markdown([record])
    row = cells(text, "rd_resnet18")
    assert row["Pixel AUROC"] == row["Accuracy"] == row["F1"] == "–"
    cell = details(text, "rd_backbone")[0].row("rd_resnet18")["Pixel AUROC"]
    assert cell.notes == ("Empty: there are no masks.",)
    assert "nan" not in text.lower().replace("provenance", "")
    # The same record through the store, where NaN has become null.
    assert leaderboard_markdown([from_json(record.to_json())]) == text


def test_a_value_that_some_seeds_lack_says_on_how_many_it_rests():
    records = seeds_of("rd_resnet18", THREE)
    for record, accuracy in zip(records, (0.59, None, 0.61), strict=True):
        record.metrics["single_scale"]["accuracy"] = accuracy
    row = cells(leaderboard_markdown(records), "rd_resnet18")
    assert row["Accuracy"].startswith("60.0 ±")
    assert row["Accuracy"].endswith("(2 of 3 seeds)")


def test_a_row_without_any_auroc_comes_last_and_unranked():
    records = [*seeds_of("rd_resnet18", (0.5, 0.6, 0.5)), make("rd_convnext", auroc=None)]
    rows = category_rows(records, RD)
    assert [row.label for row in rows] == ["rd_resnet18", "rd_convnext"]
    assert ranks(rows) == ["1", "–"]


ZOO_LAYOUT = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "f1_best": "F1-max (test-chosen)",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "aupro_30": "AUPRO@30 %",
    "aupro_05": "AUPRO@5 %",
    "fit_seconds": "Fit (s)",
    "inference_images_per_s": "Inference images/s",
    "latency_p50_ms": "Latency p50 (ms)",
    "inference_rise_device_bytes": "Device memory in inference",
    "parameters": "Parameters",
}


def test_tables_have_the_columns_of_the_original_studies_in_their_order():
    values = dict.fromkeys(["accuracy", "precision", "recall", "f1", *ZOO_LAYOUT], 0.5)
    record = make("rd_resnet50", "mvtec.bottle", metrics=values, measurements=values, multi=values)
    text = leaderboard_markdown([record])
    original, *_ = study_tables(text, "rd_backbone")
    expected = ["Model", "Accuracy", "Precision", "Recall", "F1", "Image AUROC"]
    assert list(original.headings) == ["Rank", *expected, "Seeds"]
    zoo, *_ = study_tables(text, "anomaly_zoo")
    assert list(zoo.headings) == ["Rank", "Model", *ZOO_LAYOUT.values(), "Seeds"]


def test_order_of_records_changes_no_byte():
    rng = random.Random(0)
    records = [
        make(model, data, seed, rng.random(), pretrained=pretrained)
        for model in ("rd_resnet18", "rd_resnet50", "rd_convnext.same")
        for data in ("mvtec.bottle", "mvtec.screw", "surface.woven")
        for seed in range(11)
        for pretrained in (True, False)
    ]
    records += [make("rd_convnext", status="failed"), make("rd_resnet50", auroc=0.1)]
    expected = leaderboard_markdown(records), leaderboard_csv(records), summary_rows(records)
    for _ in range(3):
        rng.shuffle(records)
        found = leaderboard_markdown(records), leaderboard_csv(records), summary_rows(records)
        assert found == expected


def test_rows_that_no_test_tells_apart_share_a_range_of_ranks():
    # Intervals of m − d, m, m + d are m ± 4.303 · d / √3 = m ± 2.484 · d.
    records = [
        *seeds_of("rd_resnet50", (0.945, 0.950, 0.955)),  # .95 ± .0124
        *seeds_of("rd_convnext", (0.935, 0.940, 0.945)),  # .94 ± .0124: overlaps the leader
        *seeds_of("rd_resnet18", (0.895, 0.900, 0.905)),  # .90 ± .0124: wholly below
        make("rd_wide_resnet50_2", auroc=0.99),
    ]
    rows = category_rows(records, RD)
    assert [row.label for row in rows] == [
        "rd_resnet50",
        "rd_convnext",
        "rd_resnet18",
        "rd_wide_resnet50_2",
    ]
    assert ranks(rows) == ["1–2", "1–2", "3", "–"]
    kind, *summary = summary_rows(records)
    assert kind.startswith("A smoke run")
    assert len(summary) == 3
    assert "95.00 ± 1.24" in summary[0]
    assert summary[0].endswith("not shown to differ from others")
    assert summary[2].endswith("1 more in the leaderboard")


def test_the_terminal_names_the_study_of_a_category_that_two_share_and_who_ranks_alone():
    records = [
        *seeds_of("rd_resnet18", THREE),
        *seeds_of("stfpm_resnet18", THREE),
        *seeds_of("stfpm_resnet18", THREE, "mvtec.bottle"),
    ]
    _, *lines = summary_rows(records)
    found = [(line.split("  ")[0], line.endswith("the only row with a rank")) for line in lines]
    assert found == [
        ("surface.woven (rd_backbone)", True),
        ("mvtec.bottle", True),
        ("surface.woven (anomaly_zoo)", False),
        ("surface.woven (anomaly_zoo)", False),
    ]


def test_best_mean_of_a_column_is_bold_and_test_chosen_never():
    better = {"recall": 0.9, "f1": 0.7, "f1_best": 0.99, "false_alarms": 0.1}
    worse = {"recall": 0.8, "f1": 0.70001, "f1_best": 0.98, "false_alarms": 0.2}
    text = leaderboard_markdown(
        [
            *seeds_of("rd_resnet18", (0.9,) * 3, metrics=better),
            *seeds_of("rd_convnext", (0.95,) * 3, metrics=worse),
        ]
    )
    table = details(text, "rd_backbone")[0]
    first, second = table.row("rd_resnet18"), table.row("rd_convnext")
    assert (first["Recall"].text, first["Recall"].bold) == ("90.0 ± 0.0", True)
    assert (second["Recall"].text, second["Recall"].bold) == ("80.0 ± 0.0", False)
    assert second["Image AUROC"].bold
    assert first["False alarms"].bold
    chosen = first["F1-max (test-chosen)"]
    assert (chosen.text, chosen.bold) == ("99.0 ± 0.0", False)
    # Shown as equal: neither is bold.
    assert first["F1"].text == second["F1"].text == "70.0 ± 0.0"
    assert not first["F1"].bold
    assert not second["F1"].bold


def test_pretrained_and_scratch_are_rows_of_their_own():
    records = [make(auroc=0.9), make(auroc=0.6, pretrained=False)]
    assert [row.name for row in category_rows(records, RD)] == [
        "rd_resnet18 pretrained",
        "rd_resnet18 scratch",
    ]


def test_profiles_and_machines_never_share_a_table():
    records = [
        make(auroc=0.1),
        make(auroc=0.2, profile="standard"),
        make(auroc=0.3, environment="another cpu"),
    ]
    found = comparable_runs(records)
    assert [(s.profile, s.environment) for s in found] == [
        ("smoke", "another cpu"),
        ("smoke", "cpu | torch 2.14"),
        ("standard", "cpu | torch 2.14"),
    ]
    assert [len(runs.records) for runs in found] == [1, 1, 1]


def test_categories_of_one_model_for_all_count_as_run():
    values = {name: {"image_auroc": 0.9} for name in ("bottle", "cable")}
    record = make("padim_resnet18", "mvtec.all", categories={"score": values})
    (line,) = [x for x in leaderboard_markdown([record]).splitlines() if x.startswith("Coverage")]
    assert "2 of 15 categories of mvtec" in line
    assert "mvtec" not in line.partition("no run on")[2]


def of_btad(model, values, **fields):
    """Records of BTAD's three categories: seeds by category."""
    return [
        record
        for name, own in zip(("01", "02", "03"), values, strict=True)
        for record in seeds_of(model, own, f"btad.{name}", **fields)
    ]


def test_mean_is_each_seeds_mean_over_categories():
    values = (0.80, 0.90, 0.70), (0.99, 0.95, 0.97), (0.6, 0.5, 0.7)
    (row,), partial, shared = mean_rows(of_btad("rd_resnet18", values), RD)
    by_seed = [fmean(own) for own in zip(*values, strict=True)]
    found = row.metric("single_scale", "image_auroc")
    low, high = stats.t.interval(0.95, 2, loc=fmean(by_seed), scale=stats.sem(by_seed))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (partial, shared) == ([], ("01", "02", "03"))


def test_a_mean_that_lacks_categories_is_their_count():
    records = [
        *of_btad("rd_resnet18", [(0.8,) * 3] * 3),
        *of_btad("rd_resnet50", [(0.7,) * 3] * 3),
        make("rd_convnext", "btad.01", auroc=0.99),
    ]
    ranked, partial, shared = mean_rows(records, RD)
    assert [row.label for row in ranked] == ["rd_resnet18", "rd_resnet50"]
    assert [(row.label, len(row.categories)) for row in partial] == [("rd_convnext", 1)]
    assert shared == ("01", "02", "03")
    (mean, *_) = study_tables(leaderboard_markdown(records), "rd_backbone")
    assert mean.path[-1] == "btad: mean over 3 categories"
    assert mean.texts("rd_convnext")["Image AUROC"] == "1 of 3"
    assert mean.texts("rd_resnet18")["Image AUROC"] == "80.00 ± 0.00"
    reason = "No rank: 3 categories, at least 6 needed to tell 2 rows apart."
    assert mean.row("rd_resnet18")["Rank"].notes == (reason,)


def test_a_mean_needs_a_value_of_every_category():
    records = of_btad("rd_resnet18", [(0.9,)] * 3, metrics={"pixel_auroc": 0.9})
    records[1].metrics["single_scale"]["pixel_auroc"] = None
    (row,), _, _ = mean_rows(records, RD)
    assert row.metric("single_scale", "pixel_auroc") is None
    assert row.metric("single_scale", "image_auroc").mean == pytest.approx(0.9)


def test_seeds_that_only_one_category_has_do_not_enter_the_mean():
    (row,), _, _ = mean_rows(of_btad("rd_resnet18", [(0.8, 0.6), (0.9,), (0.7,)]), RD)
    assert row.replicates == (0,)
    assert row.metric("single_scale", "image_auroc").mean == pytest.approx(0.8)
    assert row.by_category == (0.8, 0.9, 0.7)


def test_a_category_run_under_another_recipe_is_another_mean():
    records = [
        *(make(data=f"btad.{name}", recipe="aaaa") for name in ("01", "02", "03")),
        make(data="btad.01", recipe="bbbb", finished="2026-02-01T00:00:00+00:00"),
    ]
    ranked, partial, _ = mean_rows(records, RD)
    assert [row.label for row in ranked] == ["rd_resnet18 (recipe aaaa, weights rd_resne)"]
    assert [row.label for row in partial] == ["rd_resnet18 (recipe bbbb, weights rd_resne)"]


def test_csv_parses_and_holds_full_precision():
    value = 0.912345678901234
    frame = read_csv([make(auroc=value), make("rd_convnext", auroc=0.5)])
    line = frame[(frame.model == "rd_resnet18") & (frame["head"] == "single_scale")].iloc[0]
    assert line["image_auroc"] == value
    assert pandas.isna(line["image_auroc_low"])
    assert line["no_rank"] == "1 of 3 replicates"
    assert line["inference_images_per_s"] == 123.4
    assert set(frame["kind"]) == {"run"}


def test_files_are_written_and_replaced(tmp_path):
    folder = tmp_path / "results"
    write_leaderboard([make(auroc=0.5)], folder)
    markdown, table = write_leaderboard([make(auroc=0.75)], folder)
    assert "75.00" in markdown.read_text("utf-8")
    assert table.read_text("utf-8") == leaderboard_csv([make(auroc=0.75)])
    assert sorted(path.name for path in folder.iterdir()) == ["LEADERBOARD.csv", "LEADERBOARD.md"]


def test_no_records_is_a_leaderboard_that_says_so():
    assert "No finished runs yet." in leaderboard_markdown([])
    assert summary_rows([]) == []
    assert leaderboard_csv([]).count("\n") == 1


def test_further_anomaly_figures_are_columns_where_records_have_them():
    plain = [h for table in read_tables(leaderboard_markdown([make()])) for h in table.headings]
    assert not {"Image AP", "Pixel AP", "AUPRO@30 %", "AUPRO@5 %"} & set(plain)
    rich = {
        "pixel_auroc": 0.9,
        "image_ap": 0.91,
        "pixel_ap": 0.42,
        "aupro_30": 0.83,
        "aupro_05": 0.5,
        "aupimo": 0.4,
    }
    records = [make(metrics=rich), make("rd_convnext", auroc=0.8)]
    row = cells(leaderboard_markdown(records), "rd_resnet18")
    assert (row["Image AP"], row["Pixel AP"], row["AUPRO@30 %"]) == ("91.00", "42.00", "83.00")
    headings = list(row)
    start = headings.index("Image AUROC")
    assert headings[start + 1 : start + 5] == ["Image AP", "Pixel AUROC", "Pixel AP", "AUPRO@30 %"]
    frame = read_csv(records)
    line = frame[(frame["model"] == "rd_resnet18") & (frame["head"] == "single_scale")].iloc[0]
    assert (line["aupro_05"], line["aupimo"]) == (0.5, 0.4)
    assert "aupro_01" not in read_csv(records)


def test_the_answer_is_of_whole_training_sets_and_single_categories():
    """Few-shot runs and one model for all categories stand in tables of their own."""
    records = []
    pair = ("rd_resnet50.same", 0.95, 0.5), ("rd_convnext_adapted.same", 0.96, 0.9)
    for model, whole, other in pair:
        for data, shots, value in (
            ("mvtec.bottle", None, whole),
            ("mvtec.bottle", 4, other),
            ("mvtec.all", None, other),
        ):
            for seed in range(3):
                record = make(model, data, seed, value + seed / 1000, profile="standard")
                records.append(replace(record, case=replace(record.case, shots=shots)))
                if data == "mvtec.all":
                    by_category = {name: {"image_auroc": value} for name in ("bottle", "cable")}
                    heads = ("single_scale", "multi_scale")
                    records[-1].categories = dict.fromkeys(heads, by_category)
    usual = [r for r in records if is_usual(r)]
    assert len(usual) == 6

    def answer(own):
        text = leaderboard_markdown(own)
        return [line for line in text.partition("## Study")[0].splitlines() if "points" in line]

    assert answer(usual)
    assert answer(records) == answer(usual)


def test_kinds_of_defects_may_have_any_name(tmp_path):
    kinds = {"single_scale": {"scratch|dent": 0.9, "\udcb0\udca1": 0.8, "[x](javascript:y)": 0.7}}
    records = [make("rd_resnet18", kinds=kinds)]
    html = None
    for path in write_leaderboard(records, tmp_path, ("md", "csv", "html", "json")):
        text = path.read_text(encoding="utf-8")
        html = text if path.suffix == ".html" else html
        assert "scratch" in text or path.suffix in (".csv", ".json")
    assert 'href="javascript' not in html
    assert "scratch|dent</th>" in html
