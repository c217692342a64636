"""The verdict is computed from records, pairs what may be paired, and says what it left out."""

from dataclasses import replace

import numpy as np
import pytest
from fake_records import make
from scipy import stats

from bench.aggregate.frame import comparable_runs
from bench.protocol import PROFILES, resolve
from bench.report.leaderboard import leaderboard_markdown
from bench.studies.rd_backbone.verdict import MAIN_PAIR, PAIRS, verdicts
from models.catalog import MODELS

SAME = ("rd_resnet50.same", "rd_convnext_adapted.same")


def records_of(first, second, models=SAME, dataset="mvtec", **fields):
    """Values by category; a category's value is a list over seeds."""
    return [
        make(model, f"{dataset}.c{category:02}", seed, value, **fields)
        for model, side in zip(models, (first, second), strict=True)
        for category, values in enumerate(side)
        for seed, value in enumerate(np.atleast_1d(values).tolist())
    ]


def judge(records, **options):
    (runs,) = comparable_runs(records)
    return verdicts(runs, **options)


def main(records, **options):
    return judge(records, **options)[0]


def test_pairs_name_models_and_arms_of_the_catalog():
    for pair in PAIRS:
        for value, group in ((pair.resnet, "resnet"), (pair.convnext, "convnext")):
            name, _, head = value.partition(".")
            assert MODELS[name].group == group
            assert (head or "baseline") in MODELS[name].recipes


def test_seeds_are_averaged_within_categories_and_categories_paired():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.8, 0.9, (7, 3))
    second = first + rng.normal(0.03, 0.01, (7, 3))
    found = main(records_of(first, second))
    means = first.mean(1), second.mean(1)
    exact = stats.permutation_test(
        (means[1] - means[0],), np.mean, permutation_type="samples", n_resamples=1e6
    )
    interval = stats.ttest_rel(means[1], means[0]).confidence_interval()
    assert found.test.difference.n == len(found.categories) == 7
    assert found.test.p == pytest.approx(exact.pvalue)
    assert found.test.difference.low == pytest.approx(interval.low)
    assert found.test.difference.high == pytest.approx(interval.high)
    spread = np.sqrt(np.concatenate([first.var(1, ddof=1), second.var(1, ddof=1)]).mean())
    assert found.seed_sd == pytest.approx(spread)
    assert found.seeds == (3, 3)
    assert found.text == "ConvNeXt ahead"


@pytest.mark.parametrize(
    ("shift", "text"),
    [
        ([0.02] * 6, "ConvNeXt ahead"),
        ([-0.02] * 6, "ResNet ahead"),
        ([0.02, -0.02] * 3, "no difference shown"),
        ([0.0] * 6, "no difference shown"),
        ([0.02] * 5, "not tested (n = 5, at least 6 categories needed)"),
        ([0.02], "not tested (n = 1, at least 6 categories needed)"),
    ],
)
def test_text(shift, text):
    first = [0.9] * len(shift)
    assert main(records_of(first, np.add(first, shift))).text == text


def test_one_category_gives_its_difference_but_no_interval():
    found = main(records_of([0.9], [0.93]))
    assert found.test.difference.mean == pytest.approx(0.03)
    assert found.test.difference.half_width is None
    assert found.test.p is found.seed_sd is None


def test_the_main_question_is_there_even_unanswered():
    found = judge([make("rd_resnet18")])
    assert [verdict.pair for verdict in found] == [MAIN_PAIR]
    assert found[0].text == "not tested (no category that both sides have)"
    text = leaderboard_markdown([make("rd_resnet18")])
    assert "These runs do not address the study's question" in text
    assert "not tested" not in text


def test_only_categories_that_both_have_count():
    records = records_of([0.9] * 8, [0.95] * 6)
    assert len(main(records).categories) == 6


def test_pretrained_and_scratch_are_judged_apart():
    records = records_of([0.9] * 6, [0.95] * 6)
    records += records_of([0.6] * 6, [0.5] * 6, pretrained=False)
    assert [(v.pretrained, v.text) for v in judge(records)] == [
        (True, "ConvNeXt ahead"),
        (False, "ResNet ahead"),
    ]


def test_arms_and_metrics_are_judged_apart():
    records = records_of([0.9] * 6, [0.95] * 6)
    for record in records:
        record.metrics["multi_scale"]["image_auroc"] = 0.5
    assert main(records, head="multi_scale").text == "no difference shown"
    assert main(records, metric="pixel_auroc").test is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": "other"}, "the sides saw different images"),
        ({"recipe": "other"}, "the sides ran under different recipes"),
        ({"protocol": {"images_seen": 9}}, "the sides ran under different budgets"),
    ],
)
def test_a_category_whose_sides_differ_is_left_out_with_its_reason(change, reason):
    records = records_of([0.9] * 7, [0.95] * 7)
    index = next(i for i, r in enumerate(records) if r.key.id.startswith("rd_convnext_adapted"))
    records[index] = make(SAME[1], "mvtec.c00", 0, 0.95, **change)
    found = main(records)
    assert found.left_out == {reason: 1}
    assert len(found.categories) == 6
    assert f"categories left out: 1 ({reason})" in leaderboard_markdown(records)


def test_families_own_recipes_may_differ_but_each_is_one_over_all_categories():
    models = ("rd_resnet50", "rd_convnext")
    records = records_of([0.9] * 6, [0.95] * 6, models)
    records += [make(model, "mvtec.extra", 0, 0.5, recipe=f"{model} later") for model in models]
    found = next(v for v in judge(records) if v.pair.convnext == "rd_convnext")
    assert len(found.categories) == 6
    assert found.left_out == {"run under another recipe than most": 1}


TUNED = ("rd_resnet50.tuned", "rd_convnext.tuned")


@pytest.fixture
def tune(monkeypatch):
    """Declare models as tuned."""

    def tune(*names):
        entries = {**MODELS, **{name: replace(MODELS[name], tuned=True) for name in names}}
        monkeypatch.setattr("bench.studies.rd_backbone.verdict.MODELS", entries)

    return tune


def test_tuned_recipes_are_not_judged_on_what_they_were_tuned_on(tune):
    tune("rd_resnet50", "rd_convnext")
    records = records_of([0.9] * 6, [0.95] * 6, TUNED)
    records += records_of([0.9] * 4, [0.5] * 4, TUNED, dataset="surface")
    on_parts, on_surface = (v for v in judge(records) if v.pair.chosen_on == "surface")
    assert (on_parts.dataset, on_parts.text) == ("mvtec", "ConvNeXt ahead")
    assert on_surface.left_out == {"the tuned constants were chosen on surface": 4}
    assert on_surface.test is None


@pytest.mark.parametrize("tuned", [(), ("rd_resnet50",), ("rd_convnext",)])
def test_tuned_recipes_are_not_judged_before_both_sides_are_tuned(tune, tuned):
    tune(*tuned)
    (found,) = (v for v in judge(records_of([0.9] * 6, [0.95] * 6, TUNED)) if v.pair.chosen_on)
    assert found.test is None
    assert found.text.startswith("withheld")
    assert [n for n in ("rd_resnet50", "rd_convnext") if n in found.text] == [
        n for n in ("rd_resnet50", "rd_convnext") if n not in tuned
    ]


def test_the_catalog_says_which_models_were_tuned():
    tuned = {name for name, entry in MODELS.items() if entry.tuned}
    assert tuned == {"rd_resnet18"}


def test_datasets_are_never_pooled():
    records = records_of([0.9] * 6, [0.95] * 6)
    records += records_of([0.9] * 4, [0.5] * 4, dataset="surface")
    assert [(v.dataset, len(v.categories), v.text) for v in judge(records)] == [
        ("mvtec", 6, "ConvNeXt ahead"),
        ("surface", 4, "not tested (n = 4, at least 6 categories needed)"),
    ]


def test_sides_of_one_recipe_are_compared_whatever_their_architecture():
    records = records_of([0.9] * 6, [0.95] * 6)
    for record in records:
        entry = MODELS[record.case.model]
        protocol = resolve(entry, record.case.recipe, PROFILES["standard"])
        record.protocol = protocol.as_dict()
        record.key = replace(record.key, recipe=protocol.hash)
    found = main(records)
    assert len({record.key.recipe for record in records}) == 2
    assert (len(found.categories), found.left_out) == (6, {})


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        ({"images_seen": 40}, "2.0 % of its own budget"),
        ({"changed": {"lr": 0.005}}, "its recipe was changed: lr"),
        ({"recipe": {}}, "budget not recorded"),
    ],
)
def test_the_overview_withholds_the_answer_of_runs_that_cannot_rank(protocol, reason):
    def answer_of(**fields):
        records = records_of([0.9] * 6, [0.95] * 6, profile="standard", **fields)
        overview = leaderboard_markdown(records).partition("## Study")[0]
        return [line for line in overview.splitlines() if line.startswith("- mvtec: ")]

    (whole,) = answer_of()
    assert whole.startswith("- mvtec: ConvNeXt ahead; ")
    withheld = f"- mvtec: withheld because of runs that cannot rank ({reason})."
    assert answer_of(protocol=protocol) == [withheld]


def test_the_table_withholds_what_the_overview_does():
    records = records_of([0.9] * 6, [0.95] * 6, profile="standard", protocol={"images_seen": 40})
    assert main(records).text == "withheld (2.0 % of its own budget)"
    assert "ConvNeXt ahead" not in leaderboard_markdown(records)


def test_runs_without_fields_that_were_added_later_ran_under_the_same_budget_and_recipe():
    records = records_of([0.9] * 6, [0.95] * 6)
    for record in records:
        protocol = resolve(MODELS[record.case.model], "same", PROFILES["standard"]).as_dict()
        if record.case.model == "rd_resnet50":
            for name in ("fit", "tiles", "normalize", "seed_base"):
                del protocol[name]
            del protocol["recipe"]["patience"]
        record.protocol = protocol
    found = main(records)
    assert (len(found.categories), found.left_out) == (6, {})


def test_categories_that_were_all_left_out_are_not_called_missing():
    records = records_of([0.9] * 6, [0.95] * 6, profile="standard")
    for record in records:
        if record.case.model == "rd_resnet50":
            record.protocol["images_seen"] = 9
    assert main(records).text == "not tested (every category was left out)"
    text = leaderboard_markdown(records)
    reason = "the sides ran under different budgets"
    assert f"- mvtec: not answered; 6 categories were left out ({reason})." in text
    assert "no category has both" not in text


def test_the_table_shows_n_p_difference_and_seed_spread():
    records = records_of([[0.90, 0.92]] * 6, [[0.93, 0.95]] * 6)
    line = next(x for x in leaderboard_markdown(records).splitlines() if "Only the teacher" in x)
    row = [cell.strip() for cell in line.strip("|").split("|")]
    # Difference exactly 3 points everywhere; p = 2/64; sd of {a, a + .02} is .02/√2.
    assert row[2] == "mvtec"
    assert row[5:] == ["6", "+3.00 [+3.00, +3.00]", ".031", "1.41", "2", "**ConvNeXt ahead**"]
    assert "Empty cells:" not in leaderboard_markdown(records)


def test_empty_cells_of_the_table_are_explained():
    text = leaderboard_markdown(records_of([0.9] * 5, [0.95] * 5))
    line = next(x for x in text.splitlines() if "Only the teacher" in x)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[7:9] == ["–", "–"]  # p and seed sd
    assert "p with fewer than 6 categories, Seed sd without a second seed." in text
