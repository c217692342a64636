"""The original mixing study's table: its figures, and where its numbers contradict each other."""

import csv

import pytest
from fake_mixing import CNN, VIT, at, cells_of

from bench.aggregate.reference import read_rows
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown
from bench.studies.mixing.original import collapsed_experiments, experiments
from bench.studies.mixing.points import Point, collapsed, outcomes
from bench.studies.mixing.tables import original_table, replication_table


def rows_of_file():
    return read_rows("original_classification.csv")


def in_band(shift, recipe="", dataset="cifar100", points=None, **fields):
    """A run of every experiment of a dataset, some points off the original's last epoch."""
    return [
        at(point, one.last_top1 + shift / 100, recipe=recipe, **fields)
        for point, one in experiments().items()
        if point.dataset == dataset and (points is None or point in points)
    ]


def replicate(*groups):
    """The sentence before the replication table of the records' dataset, its rows, the count."""
    recipes = {"baseline": [], "flip_crop": []}
    for record in (record for group in groups for record in group):
        recipes[record.case.recipe].append(record)
    by_recipe = {recipe: outcomes(own, recipe)[0] for recipe, own in recipes.items()}
    sentence, table, count = replication_table(groups[0][0].case.dataset, by_recipe)
    return sentence, cells_of(table), count


def test_names_and_places_are_the_files():
    assert [one.name for one in experiments().values()] == [r["experiment"] for r in rows_of_file()]
    assert len(experiments()) == 24
    tiny = experiments()[Point("tiny_imagenet", CNN, "mixup", True)]
    assert (tiny.name, tiny.top1, tiny.last_top1) == ("Exp-13", 0.1425, 0.0758)


def test_the_collapsed_runs_are_found_by_their_numbers():
    assert sorted(collapsed_experiments().values()) == ["Exp-13", "Exp-5"]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ((4, 50, 0.06, 0.04, 0.36), True),
        ((4, 50, 0.06, 0.04, None), True),
        ((5, 50, 0.06, 0.04, 0.36), True),
        ((6, 50, 0.06, 0.04, 0.36), False),
        ((4, 50, 0.06, 0.05, 0.36), False),
        ((4, 50, 0.60, 0.40, 0.36), False),
    ],
)
def test_a_collapse_is_early_deep_and_below_the_control(run, expected):
    assert collapsed(*run) is expected


def test_our_own_collapsed_runs_are_found_by_the_same_rule():
    point = Point("cifar100", CNN, "mixup", False)
    fallen = at(point, 0.02, judged=[0.03, 0.05] + [0.02] * 48)
    control = at(point._replace(augmentation="default"), 0.4, judged=[0.1, 0.4])
    found, _ = outcomes([fallen, control], "baseline")
    assert found[point].collapsed == fallen.key.id
    assert not found[point._replace(augmentation="default")].collapsed


def test_only_exp_11_is_a_misprint_and_both_kinds_of_oddity_are_reported():
    wrong = [r["experiment"] for r in rows_of_file() if r["top1"] != r["recall"]]
    assert [one.name for one in experiments().values() if one.misprinted] == wrong == ["Exp-11"]
    cifar, tiny = ("\n".join(original_table(d)) for d in ("cifar100", "tiny_imagenet"))
    assert "Exp-11: recall 52.28 against top-1 52.78" in cifar
    assert "collapsed" not in cifar
    assert "Exp-5 collapsed: best in epoch 4 of 50 with 6.35, 4.13 after the last" in tiny
    assert tiny.count("collapsed") == 2


def test_the_closer_base_transform_is_compared_and_the_other_is_not():
    sentence, rows, count = replicate(in_band(10), in_band(-2, ".flip_crop"))
    assert sentence.startswith("Closer to the original: `flip_crop`")
    assert "experiments: 12; `baseline` 10.00, `flip_crop` 2.00" in sentence
    assert {row["Difference, `flip_crop`"] for row in rows} == {"−2.00"}
    assert count == "Within ±3 points: 12 of 12 experiments."


@pytest.mark.parametrize(("shift", "within"), [(3.0, "yes"), (3.01, "no"), (-3.0, "yes")])
def test_the_tolerance_ends_at_three_points(shift, within):
    sentence, rows, _ = replicate(in_band(shift))
    assert {row["Within ±3 points"] for row in rows} == {within}
    assert "Only the `baseline` recipe ran" in sentence


def test_collapsed_originals_neither_choose_nor_are_compared():
    names = collapsed_experiments()
    near_fallen = in_band(0, dataset="tiny_imagenet", points=names)
    far = in_band(20, dataset="tiny_imagenet", points=experiments().keys() - names)
    sentence, rows, count = replicate(
        [*near_fallen, *far], in_band(5, ".flip_crop", "tiny_imagenet")
    )
    assert "`flip_crop`, which alone is compared" in sentence
    assert "experiments: 10;" in sentence
    fallen = [r["Experiment"] for r in rows if r["Within ±3 points"] == "original collapsed"]
    assert fallen == ["Exp-5", "Exp-13"]
    assert count == "Within ±3 points: 0 of 10 experiments."


def test_a_recipe_that_lacks_experiments_is_compared_where_it_ran():
    first, second, *_ = experiments()
    both = in_band(1, points=[first]), in_band(2, ".flip_crop", points=[second])
    sentence, rows, count = replicate(*both)
    assert "No experiment has both recipes" in sentence
    assert [row["Difference, `baseline`"] for row in rows] == ["+1.00", "not run"]
    assert [row["Ours, `flip_crop`"] for row in rows][:1] == ["not run"]
    assert "–" not in {cell for row in rows for cell in row.values()}
    assert count == "Within ±3 points: 1 of 1 experiments."


def test_runs_of_another_budget_are_not_compared():
    short = in_band(0, images_seen=10_000)
    text = leaderboard_markdown(short)
    assert "No run here has the original's number of epochs" in text
    assert "Within ±3 points: " not in text
    assert "Within ±3 points: 12 of 12" in leaderboard_markdown(in_band(0))


def test_the_originals_figures_stand_apart_in_tables_and_csv():
    text = leaderboard_markdown(in_band(1))
    assert text.count("| Exp-11 ") == 3  # ours, the comparison, the original's own table
    assert not any("tiny_imagenet" in line for line in text.splitlines() if line[0:1] == "|")
    lines = list(csv.DictReader(leaderboard_csv(in_band(1)).splitlines()))
    reference = [line for line in lines if line["kind"] == "reference"]
    assert {line["dataset"] for line in reference} == {"cifar100"}
    assert {line["head"] for line in reference} == {"best_epoch", "last_epoch"}
    exp2 = [line for line in reference if "(Exp-2)" in line["source"]]
    assert [(line["model"], line["init"], line["top1"]) for line in exp2] == [
        (f"{CNN} cutmix", "scratch", "0.575"),
        (f"{CNN} cutmix", "scratch", "0.575"),
    ]
    assert "reference" not in {
        line["kind"]
        for line in csv.DictReader(
            leaderboard_csv([at(Point("digits", VIT, "default", True), 0.5)]).splitlines()
        )
    }
