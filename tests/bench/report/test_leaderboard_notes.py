"""The text around the tables: the kind of run, and why cells are empty."""

import re
from dataclasses import replace

import pytest
from fake_records import make
from read_markdown import details, study_tables

from bench.metrics.catalog import METRICS
from bench.report.leaderboard import leaderboard_markdown, summary_rows
from bench.report.leaderboard_tables import COST_COLUMNS

WHOLE = {"measurements": dict.fromkeys(COST_COLUMNS, 5.0)}
ALL_METRICS = {name: 0.5 for name, m in METRICS.items() if m.task == "anomaly"}


def opening_of(records):
    return leaderboard_markdown(records).partition("### Profile")[2].split("\n\n")[1]


@pytest.mark.parametrize(
    ("fields", "words", "absent"),
    [
        (
            {},
            ["smoke run", "does not measure a model", "one replicate"],
            ["random weights", "training budget ("],
        ),
        ({"pretrained": False}, ["random weights"], []),
        (
            {"protocol": {"images_seen": 500}},
            ["part of their training budget (as little as 25 %"],
            [],
        ),
        (
            {"protocol": {"images_seen": 5000}},
            ["more than their training budget (up to 250 %"],
            ["part of their"],
        ),
        ({"profile": "standard"}, ["Read with care: one replicate"], ["smoke"]),
        ({"profile": "standard", "model": "dfm_resnet18"}, ["whole budget"], ["care"]),
    ],
)
def test_a_section_opens_with_the_kind_of_run(fields, words, absent):
    opening = opening_of([make(**fields)])
    assert all(word in opening for word in words)
    assert not any(word in opening for word in absent)


@pytest.mark.parametrize("shots", [None, 4])
def test_few_shot_tables_say_that_seeds_choose_their_images(shots):
    record = make()
    record = replace(record, case=replace(record.case, shots=shots))
    said = "Each seed trains on images of its own" in leaderboard_markdown([record])
    assert said == bool(shots)


def test_the_terminal_says_that_a_smoke_run_measures_no_model():
    assert "does not measure a model" in summary_rows([make()])[0]
    assert not any("smoke" in row for row in summary_rows([make(profile="standard")]))


def cost_of(records, study="anomaly_zoo"):
    """The cost table of a study's details and the line below it."""
    text = leaderboard_markdown(records)
    (table,) = [t for t in details(text, study) if t.title == "**Cost**"]
    (line, *_) = [x for x in text.splitlines() if x.startswith("No values for")] or [""]
    return table, line


@pytest.mark.parametrize("model", ["rd_resnet18", "dfm_resnet18", "dfkde_resnet18"])
@pytest.mark.parametrize("name", ["train_flops", "train_rise_device_bytes", "latency_p50_ms"])
@pytest.mark.parametrize("everywhere", [True, False])
def test_every_empty_cell_of_the_cost_table_says_why(model, name, everywhere):
    measured = {key: value for key, value in WHOLE["measurements"].items() if key != name}
    records = [make(model, measurements=measured)]
    if not everywhere:
        records.append(make("padim_resnet18", **WHOLE))
    table, line = cost_of(records)
    heading = COST_COLUMNS[name][0]
    assert (heading in table.headings) == (not everywhere)
    if everywhere:
        assert re.search(rf"{re.escape(heading)} \(.+\)", line)
    else:
        (note,) = table.row(model)[heading].notes
        assert note.startswith("Empty: ")


def test_what_is_unusual_about_a_measurement_is_noted():
    noted = make(notes={"inference_rise_host_bytes": "of a first call"}, **WHOLE)
    table, _ = cost_of([noted, make("padim_resnet18", **WHOLE)])
    heading = COST_COLUMNS["inference_rise_host_bytes"][0]
    assert table.row(noted.case.model)[heading].notes == ("Of a first call.",)
    assert not table.row("padim_resnet18")[heading].notes


def test_reasons_of_a_measurement_are_stated_once_and_in_its_table():
    record = make(
        "padim_resnet18",
        measurements={"parameters": 5.0, "inference_flops": None},
        reasons={"inference_flops": "cdist has no counter"},
    )
    assert leaderboard_markdown([record]).count("cdist has no counter") == 1
    assert "FLOPs in inference (cdist has no counter)" in cost_of([record])[1]


def test_a_disturbed_speed_is_left_out_with_its_reason():
    record = make("padim_resnet18", **WHOLE)
    record.environment["busy"] = True
    assert re.search("Latency p50.* \\(on a busy machine\\)", cost_of([record])[1])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fit", [None, 12.5])
def test_what_a_run_was_trained_on_is_shown_even_if_nothing_was_measured(device, fit):
    record = make(
        "fre_resnet18",
        measurements={"x": 1.0, "fit_seconds": fit},
        protocol={"images_seen": 500},
        fingerprints={"images_seen": 500},
    )
    record = replace(record, environment={"class": device, "device": device})
    table, _ = cost_of([record])
    own = {"Fit (s)": "12.5"} if fit else {}
    assert table.texts("fre_resnet18") == {
        "Model": "fre_resnet18",
        "Own budget": "25 %",
        "Images seen": "500",
        **own,
        "Seeds": "1",
    }
    assert "\n\nNothing else was measured.\n" in leaderboard_markdown([record])


def test_a_budget_or_number_of_images_that_is_unknown_says_so():
    known = make("padim_resnet18", fingerprints={"images_seen": 1234})
    unknown = make("dfm_resnet18", protocol={"recipe": {}})
    table, _ = cost_of([known, unknown])
    for heading in ("Own budget", "Images seen"):
        assert table.row("padim_resnet18")[heading].text != "–"
        assert table.row("dfm_resnet18")[heading].text == "–"
        assert table.row("dfm_resnet18")[heading].notes == ("Empty: not recorded.",)


def test_a_speed_with_another_number_of_threads_is_left_out_with_its_reason():
    records = [make("padim_resnet18", seed=seed, **WHOLE) for seed in range(2)]
    records += [make("dfm_resnet18", **WHOLE)]
    for record, threads in zip(records, (2, 2, 1), strict=True):
        record.environment["threads"] = threads
    (table,) = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    cell = table.row("dfm_resnet18")["Latency p50 (ms)"]
    reason = "Empty: with another number of threads than most runs."
    assert (cell.text, cell.notes) == ("–", (reason,))


def test_an_empty_measurement_of_a_study_table_says_why():
    records = [make(model, **WHOLE) for model in ("padim_resnet18", "dfm_resnet18")]
    records[0].environment["busy"] = True
    (table,) = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    for heading in ("Fit (s)", "Inference images/s", "Latency p50 (ms)"):
        cell = table.row("padim_resnet18")[heading]
        assert (cell.text, cell.notes) == ("–", ("Empty: on a busy machine.",))
        assert table.row("dfm_resnet18")[heading].text == "5.00"


def test_a_mean_without_a_measurement_gives_the_reason_of_the_category_that_lacks_it():
    names = ("01", "02", "03")
    records = [make("padim_resnet18", f"btad.{name}", **WHOLE) for name in names]
    records += [make("dfm_resnet18", f"btad.{name}", **WHOLE) for name in names]
    records[1].environment["busy"] = True
    mean, *_ = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    cell = mean.row("padim_resnet18")["Fit (s)"]
    assert (cell.text, cell.notes) == ("–", ("Empty: on a busy machine.",))


def test_seeds_that_no_category_shares_are_the_reason_for_an_empty_mean():
    names = ("01", "02", "03")
    records = [make("fre_resnet18", f"btad.{n}", seed, **WHOLE) for seed, n in enumerate(names)]
    records += [make("dfm_resnet18", f"btad.{name}", **WHOLE) for name in names]
    mean, *_ = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    cell = mean.row("fre_resnet18")["Fit (s)"]
    assert (cell.text, cell.notes) == ("–", ("Empty: no seed has every category.",))


def test_a_reason_of_several_lines_is_one_line():
    why = "the file is broken:\n\n## Overview\n- see above"
    flat = "Empty: the file is broken: ## Overview - see above."
    fields = {"reasons": {"score.image_ap": why, "latency_p50_ms": why, "parameters": why}}
    text = leaderboard_markdown([make("stfpm_resnet18", metrics={"image_ap": None}, **fields)])
    assert [line for line in text.splitlines() if line.startswith("## Overview")] == ["## Overview"]
    (table, *_) = details(text, "anomaly_zoo", "stfpm_resnet18")
    assert table.row("stfpm_resnet18")["Image AP"].notes == (flat,)


@pytest.mark.parametrize(
    ("codes", "commits"),
    [
        ([{"hash": "a", "commit": "1" * 40}] * 3, None),
        ([{"hash": "a", "commit": c * 40} for c in "123"], None),
        ([{}, {"hash": None}, {"hash": "a"}], None),
        (
            [{"hash": h, "commit": c * 40} for h, c in ("a1", "b2", "a3")],
            "111111111111, 222222222222",
        ),
        (
            [{"hash": "a", "commit": "1" * 40}, {"hash": "b", "dirty": True}, {}],
            "111111111111, unknown with uncommitted changes",
        ),
    ],
)
def test_a_row_whose_runs_had_different_code_names_the_commits(codes, commits):
    records = [
        make("padim_resnet18", seed=seed, code=code, finished=f"2026-01-0{seed + 1}")
        for seed, code in enumerate(codes)
    ]
    (table,) = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    expected = f"Its runs were made with different code (commits: {commits})."
    assert table.row("padim_resnet18")["Model"].notes == ((expected,) if commits else ())


def precision_notes(*precisions):
    """Return the notes of the heading Model and of rows with these precisions of two replicates."""
    models = ("padim_resnet18", "dfm_resnet18", "stfpm_resnet18")[: len(precisions)]
    records = [
        make(model, seed=seed, protocol={"precision": precision})
        for model, own in zip(models, precisions, strict=True)
        for seed, precision in enumerate(own)
    ]
    (table, *_) = study_tables(leaderboard_markdown(records), "anomaly_zoo")
    return table.headings["Model"], [table.row(model)["Model"].notes for model in models]


def test_a_row_trained_in_bf16_says_so_beside_others():
    bf16 = ("Trained in bf16, evaluated in float32.",)
    both = ("Trained in bf16 / float32, evaluated in float32.",)
    full, half = ("float32",) * 2, ("bf16",) * 2
    assert precision_notes(full, half) == ((), [(), bf16])
    assert precision_notes(full, half, ("float32", "bf16")) == ((), [(), bf16, both])
    assert precision_notes(half, half) == (bf16, [(), ()])
    assert precision_notes(full, full) == ((), [(), ()])


@pytest.mark.parametrize(
    ("protocol", "wanted"),
    [
        ({}, "5,000 steps"),
        ({"images_seen": 80}, "80 images seen"),
    ],
)
def test_the_protocol_counts_steps_where_the_recipe_does(protocol, wanted):
    recipe = {"optimizer": "adam", "epochs": 20, "images": 80_000, "batch_size": 16}
    text = leaderboard_markdown([make(protocol={"recipe": recipe, **protocol})])
    (line,) = {line for line in text.splitlines() if line.startswith("- Protocol:")}
    assert line == f"- Protocol: 128 px; {wanted}; training in unrecorded"


def test_a_row_that_lacks_categories_is_explained_below_its_table():
    about = "A row with missing categories shows how many it has instead of a mean"
    names = ("01", "02", "03")
    whole = [make("padim_resnet18", f"btad.{name}", **WHOLE) for name in names]
    records = [*whole, make("dfm_resnet18", "btad.01", **WHOLE)]
    text = leaderboard_markdown(records)
    mean, *_ = study_tables(text, "anomaly_zoo")
    assert mean.texts("dfm_resnet18")["Image AUROC"] == "1 of 3"
    assert mean.texts("dfm_resnet18")["Fit (s)"] == "–"
    assert text.count(about) == 1
    assert about not in leaderboard_markdown(whole)


def test_a_cost_says_how_many_seeds_it_is_of():
    """Timing one of three seeds is common, and the row has three."""
    records = [make("padim_resnet18", seed=seed, measurements={"x": 1.0}) for seed in range(3)]
    records[0].measurements.update(fit_seconds=48.1, parameters=2.8e6)
    records += [make("dfm_resnet18", measurements={"fit_seconds": 5.0})]
    table, _ = cost_of(records)
    assert table.texts("padim_resnet18")["Fit (s)"] == "48.1 (1 of 3 seeds)"
    assert table.texts("padim_resnet18")["Parameters"] == "2.80 M"  # whatever the seed
    assert table.texts("dfm_resnet18")["Fit (s)"] == "5.00"
    for record in records:
        record.measurements["fit_seconds"] = 48.1
    assert "of 3 seeds" not in cost_of(records)[0].texts("padim_resnet18")["Fit (s)"]


def test_what_a_duration_covers_is_a_table():
    parts = {"frozen backbone": 3.0, "gathering": 1.0}
    records = [
        make(
            "padim_resnet18",
            seed=n,
            measurements={"fit_seconds": 4.0 + n},
            charges={"fit_seconds": {**parts, "gathering": 1.0 + n}},
        )
        for n in range(3)
    ]
    (table,) = [
        t for t in details(leaderboard_markdown(records), "anomaly_zoo") if "Number" in t.headings
    ]
    row = table.texts("padim_resnet18")
    assert row["Number"] == "Fit (s)"
    assert row["Seconds that it covers"] == "frozen backbone 3.00 + gathering 2.00"


def test_defects_are_shown_by_size_and_kind():
    records = [
        make(
            "padim_resnet18",
            seed=n,
            metrics={"aupro_05": 0.5},
            kinds={"score": {"crack": 0.8 + 0.1 * n, "stain": 0.7}},
            sizes={"score": {"q1": 0.6, "q2": 0.7, "q3": None, "q4": 1.0}},
            fingerprints={"defect_areas": [0.01, 0.02, 0.05]},
        )
        for n in range(2)
    ]
    (table,) = [
        t for t in details(leaderboard_markdown(records), "anomaly_zoo") if "Defects" in t.title
    ]
    row = table.texts("padim_resnet18")
    assert row["AUPRO@5 %"].startswith("50.00")
    assert row["crack"].startswith("85.00")
    assert row["stain"].startswith("70.00")
    assert (row["smallest quarter"][:5], row["largest quarter"][:6]) == ("60.00", "100.00")
    assert "third" not in row
    assert "A cell is empty" not in leaderboard_markdown(records)
    assert "Quarters end at 1 %, 2 %, 5 % of the image." in table.headings["second"]


def defects_of(model, *kinds):
    """The defect cells of one run per seed."""
    records = [make(model, seed=n, kinds={"score": own}) for n, own in enumerate(kinds)]
    tables = details(leaderboard_markdown(records), "anomaly_zoo")
    (table,) = [table for table in tables if "Defects" in table.title]
    return table.texts(model)


def test_intervals_of_defects_stay_within_the_scale():
    row = defects_of("padim_resnet18", *({"a": v, "b": 0.5} for v in (0.98, 0.99, 0.999)))
    low, high = map(float, re.fullmatch(r"98\.97 \[(.+), (.+)\]", row["a"]).groups())
    assert 90 < low < 98.97 < high < 100


def test_a_kind_of_defect_is_shown_if_every_run_has_it():
    first, second = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}, {"a": 0.9, "b": None, "d": 0.6}
    row = defects_of("padim_resnet18", first, second)
    assert (row["a"], row["d"]) == ("90.00 ± 0.00", "60.00 ± 0.00")
    assert not {"b", "c"} & row.keys()


def test_empty_cells_of_the_defect_table_are_explained():
    sizes = {"score": {"q1": 0.6, "q2": 0.7, "q3": 0.8, "q4": 1.0}}
    records = [
        make("padim_resnet18", metrics={"aupro_05": 0.5}, sizes=sizes),
        make("dfm_resnet18", reasons={"score.aupro_05": "there are no masks"}),
    ]
    text = leaderboard_markdown(records)
    (table,) = [t for t in details(text, "anomaly_zoo") if "Defects" in t.title]
    row = table.row("dfm_resnet18")
    assert row["AUPRO@5 %"].notes == ("Empty: there are no masks.",)
    assert (row["second"].text, row["second"].notes) == ("–", ())
    about = "A cell is empty where a run recorded no value for that size or kind."
    assert text.count(f"\n\n{about}\n") == 1


def test_the_crop_alone_is_a_table_that_does_not_rank():
    plain = [make("padim_resnet18", seed=n, metrics=ALL_METRICS) for n in range(3)]
    cropped = [make("patchcore_320", seed=n, auroc=0.8) for n in range(3)]
    for record in cropped:
        record.metrics["score_crop"] = {"image_auroc": 0.95}
    whole, crop, *_ = details(leaderboard_markdown([*plain, *cropped]), "anomaly_zoo")
    assert whole.texts("patchcore_320")["Image AUROC"] == "80.00 ± 0.00"
    assert "center crop" in whole.row("patchcore_320")["Model"].notes[0]
    assert "center crop" in crop.title
    assert "Rank" not in crop.headings
    assert [row["Model"].text for row in crop.rows] == ["patchcore_320"]
    assert crop.row("patchcore_320")["Image AUROC"].text == "95.00 ± 0.00"
    assert "center crop" not in leaderboard_markdown(plain)
