"""H1 to H3 against the study's own arithmetic, SciPy, and what their own sentences say."""

import re
from statistics import fmean

import numpy as np
import pytest
from fake_mixing import CNN, VIT, cells_of, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.studies.mixing.contrasts import contrast
from bench.studies.mixing.hypotheses import cell_answers, change_answers, conclude, hypotheses
from bench.studies.mixing.original import original_outcomes
from bench.studies.mixing.points import Outcome, Point
from bench.studies.mixing.tables import best_table, gains_table, hypothesis_tables

H1, H2 = hypotheses(CNN, VIT)
PLACES = [(m, a, p) for m in (CNN, VIT) for a in ("default", "mixup", "cutmix") for p in (0, 1)]


def number(text):
    return float(text.replace("−", "-"))


def numbers(cell):
    return [number(text) for text in re.findall(r"[+−]?\d+\.\d\d", cell)]


@pytest.mark.parametrize(
    ("hypothesis", "expected", "holds"),
    [(H1, [16.82, -5.91, -12.75, -23.45], 1), (H2, [-4.83, 4.02, 32.81, 55.80], 3)],
)
def test_the_originals_own_table_gives_the_studys_figures(hypothesis, expected, holds):
    found = cell_answers(hypothesis, original_outcomes(last_epoch=False))
    assert [answer.contrast.value for answer in found] == expected
    assert [(answer.dataset, answer.init) for answer in found] == [
        (dataset, start)
        for dataset in ("cifar100", "tiny_imagenet")
        for start in ("scratch", "pretrained")
    ]
    assert {answer.verdict for answer in found} == {"not tested over seeds"}
    says = [lead for lead, _ in told(f"?** {conclude('', found)}").values()]
    assert [says.count(lead) for lead in ("yes on ", "no on ")] == [holds, 4 - holds]


def test_the_originals_collapsed_runs_are_named_where_a_difference_rests_on_them():
    answers = cell_answers(H2, original_outcomes(last_epoch=False))
    assert [answer.contrast.collapsed for answer in answers] == [(), (), ("Exp-5",), ("Exp-13",)]
    assert conclude("", answers).endswith(
        "The value for tiny_imagenet from scratch rests on collapsed Exp-5. "
        "The value for tiny_imagenet with pretraining rests on collapsed Exp-13."
    )
    assert not any(
        answer.contrast.collapsed
        for answer in cell_answers(H1, original_outcomes(last_epoch=False))
    )


def test_h3_of_the_original_is_the_difference_of_its_two_starts():
    found = change_answers((H1, H2), original_outcomes(last_epoch=False))
    assert [(a.hypothesis, a.contrast.value, a.flips) for a in found] == [
        ("H3, H1", -22.73, True),
        ("H3, H2", 8.85, True),
        ("H3, H1", -10.70, False),
        ("H3, H2", 22.99, False),
    ]


def test_the_interval_over_seeds_is_scipys():
    rng = np.random.default_rng(0)
    top1 = rng.uniform(0.3, 0.7, (4, 5))
    places = [(CNN, "cutmix"), (CNN, "default"), (VIT, "cutmix"), (VIT, "default")]
    outcomes = table_of({(*p, True): row.tolist() for p, row in zip(places, top1, strict=True)})
    (answer,) = cell_answers(H1, outcomes)
    by_seed = 100 * (top1[0] - top1[1] - top1[2] + top1[3])
    low, high = stats.t.interval(0.95, 4, loc=by_seed.mean(), scale=stats.sem(by_seed))
    assert answer.contrast.value == pytest.approx(by_seed.mean(), abs=0.005)
    assert (answer.contrast.low, answer.contrast.high) == pytest.approx((low, high), abs=0.005)


def test_from_no_difference_no_sign_flips():
    level = {(m, a, p): [0.5] for m in (CNN, VIT) for a in ("default", "cutmix") for p in (0, 1)}
    outcomes = table_of(level | {(CNN, "cutmix", 1): [0.6]})
    found = change_answers((H1,), outcomes)
    assert [(answer.contrast.value, answer.flips) for answer in found] == [(10.0, False)]


def test_one_seeds_interval_is_that_of_four_independent_binomials():
    shares = {"cutmix": 0.6, "default": 0.5}
    outcomes = table_of(
        {
            (m, a, True): [share + (m == VIT) * 0.1]
            for m in (CNN, VIT)
            for a, share in shares.items()
        },
        images=400,
    )
    (answer,) = cell_answers(H1, outcomes)
    rng = np.random.default_rng(0)
    draws = [rng.binomial(400, p, 200_000) / 400 for p in (0.6, 0.5, 0.7, 0.6)]
    spread = (draws[0] - draws[1] - draws[2] + draws[3]).std()
    assert answer.contrast.high == pytest.approx(100 * stats.norm.ppf(0.975) * spread, rel=0.01)
    assert (answer.contrast.value, answer.verdict) == (0.0, "not tested over seeds")
    assert "alone: neither on cifar100 with pretraining (0.00 [" in conclude("", [answer])


def test_a_missing_run_or_seed_is_not_tested():
    outcomes = table_of({(CNN, "cutmix", True): [0.5], (CNN, "default", True): [0.4]})
    (answer,) = cell_answers(H1, outcomes)
    assert (answer.contrast, answer.verdict) == (None, "not tested (runs are missing)")
    one, other = Point("d", CNN, "cutmix", True), Point("d", CNN, "default", True)
    apart = {one: Outcome({0: 0.5}, 100), other: Outcome({1: 0.4}, 100)}
    assert contrast(apart, {one: 1, other: -1}) is None


def test_unknown_counts_of_images_leave_no_interval():
    one, other = Point("d", CNN, "cutmix", True), Point("d", CNN, "default", True)
    found = contrast(
        {one: Outcome({0: 0.5}, None), other: Outcome({0: 0.4}, None)}, {one: 1, other: -1}
    )
    assert (found.value, found.low, str(found)) == (10.0, None, "+10.00")


shares = st.integers(0, 10_000).map(lambda hits: hits / 10_000)
near = st.integers(4_990, 5_010).map(lambda hits: hits / 10_000)
by_seed = st.one_of(
    st.lists(shares, min_size=1, max_size=4), st.lists(near, min_size=1, max_size=4)
)
tables = st.dictionaries(st.sampled_from(PLACES), by_seed, min_size=1)


def independently(values, terms):
    """Mean and interval over seeds of a signed sum, by NumPy and SciPy; None without seeds."""
    if any(place not in values for place, _ in terms):
        return None
    n = min(len(values[place]) for place, _ in terms)
    sums = sum(sign * 100 * np.array(values[place][:n]) for place, sign in terms)
    if n == 1:
        return sums.mean(), None, 1
    half = stats.sem(sums) * stats.t.ppf(0.975, n - 1)
    return sums.mean(), half, n


def of_hypothesis(name, pretrained):
    gainer, other, augmentation = (CNN, VIT, "cutmix") if name == "H1" else (VIT, CNN, "mixup")
    return [
        ((gainer, augmentation, pretrained), 1),
        ((gainer, "default", pretrained), -1),
        ((other, augmentation, pretrained), -1),
        ((other, "default", pretrained), 1),
    ]


def terms_of(row):
    if row["Hypothesis"].startswith("H3"):
        name = row["Hypothesis"][-2:]
        return of_hypothesis(name, 1) + [(place, -sign) for place, sign in of_hypothesis(name, 0)]
    return of_hypothesis(row["Hypothesis"], int(row["Init"] == "pretrained"))


def check_figures(row, expected, column):
    """Check that the shown figures are the recomputed ones; return the side of zero they are on."""
    if expected is None:
        assert row[column] == "–"
        return None
    mean, half, n = expected
    assert int(row["Seeds"]) == n
    value, low, high = numbers(row[column])
    assert value == pytest.approx(mean, abs=0.0051)
    if half is None:
        return None
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.0051)
    return (low > 0) - (high < 0)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_no_sentence_contradicts_its_table(values):
    parts = list(hypothesis_tables((CNN, VIT), table_of(values)))
    if len(parts) == 1:  # no answer has a value
        own = [cell_answers(h, table_of(values)) for h in hypotheses(CNN, VIT)]
        assert not any(answer.contrast for answers in own for answer in answers)
        assert "cannot answer" in parts[0]
        return
    sentences, table = parts
    rows = cells_of(table)
    for row in rows:
        side = check_figures(row, independently(values, terms_of(row)), "Difference, points")
        word = row["Verdict"].split(";")[0]
        if row["Difference, points"] == "–":
            assert word == "not tested (runs are missing)"
        elif row["Seeds"] == "1":
            assert word == "not tested over seeds"
        elif row["Hypothesis"].startswith("H3"):
            assert word == ("contradicted" if side else "no change shown")
        else:
            assert word == {1: "holds", -1: "reversed", 0: "not shown"}[side]
        if row["Hypothesis"].startswith("H3"):
            assert ("the sign flips" in row["Verdict"]) == flips(row, rows)
    for sentence in sentences.splitlines():
        check_sentence(sentence, [r for r in rows if r["Hypothesis"].startswith(sentence[4:6])])


def flips(row, rows):
    """Whether the difference in an H3 row changes sign between the rows of its two starts."""
    name = row["Hypothesis"][-2:]
    both = [numbers(r["Difference, points"]) for r in rows if r["Hypothesis"] == name]
    return all(both) and len(both) == 2 and both[0][0] * both[1][0] < 0


LEADS = {
    "holds": "yes on ",
    "reversed": "no, it gains less, on ",
    "not shown": "no difference is shown on ",
    "contradicted": "no for ",
    "no change shown": "no change is shown for ",
    "not tested (runs are missing)": "Runs are missing for ",
}
"""How a clause begins, by the verdict of the cells that it names."""

CELL = re.compile(r"(H\d on \w+|\w+ from scratch|\w+ with pretraining)(?: \(([^)]*)\))?")


def told(sentence):
    """What a hypothesis' sentences say about each cell: how the clause begins, and the numbers."""
    answer = sentence.partition("?** ")[2].partition("The value for ")[0]
    found = {}
    for clause in re.split(r"(?<=\.) (?=[A-Z])|(?<=:) |; ", answer):
        for match in CELL.finditer(clause):
            assert match[1] not in found
            found[match[1]] = clause[: CELL.search(clause).start()], match[2]
    return found


def check_sentence(sentence, rows):
    """Check that a sentence says about every cell what its row says, and names no other."""
    found = told(sentence)
    assert len(found) == len(rows)
    for row in rows:
        third = row["Hypothesis"].startswith("H3")
        own = f"{row['Hypothesis'][-2:]} on {row['Dataset']}"
        start = "from scratch" if row["Init"] == "scratch" else "with pretraining"
        lead, shown = found[own if third else f"{row['Dataset']} {start}"]
        word, _, flips = row["Verdict"].partition("; ")
        difference = row["Difference, points"]
        if word == "not tested over seeds":
            value = numbers(difference)[0] if difference != "0.00" else 0.0
            says = "yes on " if value > 0 else "no on " if value < 0 else "neither on "
            assert lead == ("the difference changes for " if third else says)
        else:
            assert lead == LEADS[word]
        parts = [f"{difference} points", *filter(None, [flips])]
        assert shown == (None if difference == "–" else ", ".join(parts))


@settings(max_examples=75, deadline=None)
@given(tables)
def test_no_gain_or_best_contradicts_its_table(values):
    outcomes = table_of(values)
    both = [(m, a) for m, a, p in values if p and (m, a, 0) in values]
    rows = [row for part in gains_table(outcomes) for row in cells_of(part)]
    assert sorted((row["Model"], row["Augmentation"]) for row in rows) == sorted(both)
    for row in rows:
        place = row["Model"], row["Augmentation"]
        expected = independently(values, [((*place, 1), 1), ((*place, 0), -1)])
        side = check_figures(row, expected, "Gain, points")
        if row["Seeds"] == "1":
            assert row["Verdict"] == "not tested over seeds"
        else:
            assert row["Verdict"] == {1: "gain", -1: "loss", 0: "no gain shown"}[side]
    (best,) = cells_of(best_table(outcomes))
    means = sorted(map(fmean, values.values()), reverse=True)
    assert number(best["Top-1"]) == pytest.approx(100 * means[0], abs=0.0051)
    if len(values) == 1:
        assert (best["Next"], best["Verdict"]) == ("–", "nothing to compare")
    elif best["Seeds"] != "1":
        ahead = numbers(best["Lead, points"])[1] > 0
        assert best["Verdict"] == ("ahead" if ahead else "not shown to be ahead")


def test_best_and_gains_of_the_original():
    outcomes = original_outcomes(last_epoch=False)
    best = [list(row.values())[1:6] for row in cells_of(best_table(outcomes))]
    assert [(name, top1, numbers(lead)[0]) for name, top1, _, lead, _ in best] == [
        ("resnet50 cutmix pretrained", "70.45", 1.81),
        ("resnet50 default pretrained", "66.58", 17.81),
    ]
    (text,) = gains_table(outcomes)
    gains = {tuple(row.values())[:3]: numbers(row["Gain, points"])[0] for row in cells_of(text)}
    assert len(gains) == 12
    assert gains["cifar100", CNN, "default"] == 17.79
