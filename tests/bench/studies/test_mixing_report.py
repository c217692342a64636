"""The mixing study's part of the leaderboard: which runs appear in which table."""

import csv
import random

from fake_mixing import CNN, VIT, at, cells_of, classified
from fake_records import make
from read_markdown import details, study_tables

from bench.aggregate.frame import ComparableRuns
from bench.aggregate.ranking import rank_rows
from bench.aggregate.rows import category_rows
from bench.progress import Progress
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown, summary_rows
from bench.studies.mixing.original import experiments
from bench.studies.mixing.points import Point, outcomes
from bench.studies.mixing.report import answer, report
from bench.studies.mixing.study import MIXING

GRID = [
    Point("digits", model, augmentation, pretrained)
    for model in (CNN, VIT)
    for augmentation in ("default", "mixup", "cutmix")
    for pretrained in (False, True)
]


def grid(seeds=2, recipe=""):
    rng = random.Random(recipe)
    return [at(p, rng.uniform(0.3, 0.9), s, recipe=recipe) for p in GRID for s in range(seeds)]


def table_after(text, heading):
    """The first table after a heading."""
    tail = text[text.index(heading) :]
    lines = tail.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return cells_of("\n".join(lines[start:end]))


def test_experiments_have_the_originals_headings_names_and_order():
    records = [at(point, 0.5) for point in experiments()]
    random.Random(0).shuffle(records)
    rows = table_after(leaderboard_markdown(records), "#### All experiments")
    assert [row["Experiment"] for row in rows] == [one.name for one in experiments().values()]
    assert list(rows[0])[:10] == [
        "Experiment",
        "Dataset",
        "Model",
        "Augmentation",
        "Pretrained",
        "Top-1",
        "Top-5",
        "Macro recall",
        "Macro precision",
        "Macro F1",
    ]
    exp2 = next(row for row in rows if row["Experiment"] == "Exp-2")
    assert (exp2["Top-1"], exp2["Reference: top-1 after the last epoch"]) == ("50.00", "57.50")


def test_runs_by_the_modern_recipe_are_no_experiment_of_the_original():
    point = next(iter(experiments()))
    both = [at(point, 0.5, recipe=".modern"), at(point, 0.4)]
    own, modern = table_after(leaderboard_markdown(both), "#### All experiments")
    assert (own["Experiment"], own["Model"]) == ("Control-1", CNN)
    assert (modern["Experiment"], modern["Model"]) == ("–", f"{CNN}.modern")
    assert modern["Reference: top-1 after the last epoch"] == "–"
    (alone,) = table_after(leaderboard_markdown(both[:1]), "#### All experiments")
    assert "Experiment" not in alone


def test_the_last_epoch_ranks_and_never_the_best():
    records = [
        classified(0.5, judged=[0.9, 0.5], dataset="digits"),
        classified(0.6, judged=[0.6], dataset="digits", augmentation="mixup"),
    ]
    ordered = rank_rows(category_rows(records, MIXING)).rows
    assert [each.row.label for each in ordered] == ["resnet50 mixup", "resnet50"]
    assert [each.rank for each in ordered] == ["–", "–"]
    (quality, *_) = details(leaderboard_markdown(records), "mixing")
    lower = quality.texts("resnet50 scratch")
    assert (lower["Top-1"], lower["Top-1 best epoch (test-chosen)"]) == ("50.00", "90.00")


def test_recipes_are_judged_apart():
    text = leaderboard_markdown([*grid(), *grid(recipe=".flip_crop")])
    assert text.count("#### Hypotheses, recipe `") == 2
    own = table_after(text, "#### Hypotheses, recipe `flip_crop`")
    alone = table_after(leaderboard_markdown(grid(recipe=".flip_crop")), "#### Hypotheses")
    assert own == alone
    assert "against the original" not in text


def test_runs_on_other_images_or_budgets_are_left_out_and_counted():
    odd = [
        classified(0.1, seed=2, dataset="digits", data="other images"),
        classified(0.1, seed=3, dataset="digits", images_seen=99),
    ]
    found, left_out = outcomes([*grid(), *odd], "baseline")
    assert left_out == 2
    assert set(found[GRID[0]].by_seed) == {0, 1}
    runs = ComparableRuns("original", "gpu", (*grid(), *odd), 0)
    text = "\n".join(report(MIXING, runs))
    assert "1 run on other images or under another budget" in text
    assert "Left out: 1 of 26 runs that cannot rank (0.2 % of its own budget)." in text


def test_runs_without_fields_that_were_added_later_are_under_the_same_budget():
    old, new = grid(seeds=1), [at(point, 0.5, 1) for point in GRID]
    for record in old:
        for name in ("fit", "tiles", "overlap", "normalize"):
            del record.protocol[name]
    found, left_out = outcomes([*old, *new], "baseline")
    assert left_out == 0
    assert set(found[GRID[0]].by_seed) == {0, 1}


def test_tables_of_hypotheses_are_of_runs_that_can_rank():
    records = grid()
    for record in records:
        record.protocol["images_seen"] = 1_000
    text = "\n".join(report(MIXING, ComparableRuns("original", "gpu", records, 0)))
    assert "Left out: 24 of 24 runs that cannot rank (2.0 % of its own budget)." in text
    assert "#### All experiments" in text
    assert "H1" not in text
    assert "Best combination" not in text


def test_the_answer_is_of_runs_that_can_rank():
    whole, short = grid(), grid(recipe=".flip_crop")
    for record in short:
        record.protocol["images_seen"] = 1_000  # of 50 epochs of 1,000 images

    def answer_of(*records):
        return list(answer(MIXING, ComparableRuns("original", "gpu", records, 0)))

    alone = answer_of(*whole)
    assert len(alone) == 3
    assert not any("Left out" in sentence for sentence in alone)
    left_out = "Left out: 24 of 24 runs that cannot rank (2.0 % of its own budget)."
    assert answer_of(*short) == [left_out]
    opening = "Recipe `baseline`: "
    both = [*(opening + sentence for sentence in alone), f"Recipe `flip_crop`: {left_out}"]
    assert answer_of(*whole, *short) == both
    changed = next(r for r in whole if r.case.augmentation == "cutmix" and r.case.replicate == 1)
    changed.protocol["changed"] = {"lr": 0.1}
    found = answer_of(*whole)
    assert found[-1] == "Left out: 1 of 24 runs that cannot rank (its recipe was changed: lr)."
    assert found[:-1] != alone


def test_order_of_records_changes_no_byte():
    records = [*grid(), *grid(recipe=".flip_crop"), make(), make("rd_convnext", auroc=0.8)]
    records += [classified(0.5, model="resnet18", dataset="digits")]
    expected = leaderboard_markdown(records), leaderboard_csv(records), summary_rows(records)
    for seed in range(3):
        random.Random(seed).shuffle(records)
        assert (
            leaderboard_markdown(records),
            leaderboard_csv(records),
            summary_rows(records),
        ) == expected


def test_two_tasks_share_a_file_and_no_column():
    records = [
        make(environment="gpu | torch", profile="original"),
        classified(0.25, dataset="digits"),
    ]
    text = leaderboard_markdown(records)
    assert "Ranks by Image AUROC of the `single_scale` head" in text
    assert "Ranks by Top-1 of the `last_epoch` head" in text
    rd = [*study_tables(text, "rd_backbone"), *details(text, "rd_backbone")]
    mixing = [*study_tables(text, "mixing"), *details(text, "mixing")]
    assert not any("Top-1" in table.headings for table in rd)
    assert not any("Image AUROC" in table.headings for table in mixing)
    lines = list(csv.DictReader(leaderboard_csv(records).splitlines()))
    by_recipe = {line["head"]: line for line in lines}
    assert (by_recipe["last_epoch"]["top1"], by_recipe["last_epoch"]["image_auroc"]) == ("0.25", "")
    assert (by_recipe["single_scale"]["top1"], by_recipe["single_scale"]["image_auroc"]) == (
        "",
        "0.9",
    )


def test_classifiers_alone_have_no_word_on_thresholds():
    text = leaderboard_markdown([classified(0.25, dataset="digits")])
    assert "hreshold" not in text
    assert "AUROC" not in text
    assert leaderboard_csv([classified(0.25)]).splitlines()[0].count("auroc") == 0


def test_a_figure_with_an_unusual_meaning_is_explained():
    record = classified(0.5, dataset="digits", notes={"last_epoch.top5": "5 classes only"})
    (quality, *_) = details(leaderboard_markdown([record]), "mixing")
    assert "5 classes only." in quality.headings["Top-5"]


def test_lines_of_a_terminal_name_the_figure(monkeypatch):
    assert "top-1 25.00" in summary_rows([classified(0.25, dataset="digits")])[0]
    assert "AUROC 90.00" in summary_rows([make()])[1]
    written = []
    monkeypatch.setattr(Progress, "note", lambda self, case_id, text: written.append(text))
    progress = Progress(None, 2, lines=True)
    progress.end(classified(0.25, dataset="digits"))
    progress.end(make())
    assert written[0].startswith("ok  last_epoch Top-1 25.00  ")
    assert written[1].startswith("ok  single_scale Image AUROC 90.00  123 img/s  ")
