"""The bisection against Bayes' rule written out, and on simulated noise."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import entropy
from scipy.stats import t as student

from bench.regression.bisection import (
    CONFIDENCE,
    Bisection,
    BisectionError,
    touch_prior,
)

GOOD, BAD = [0.4, -0.5, 0.2], [-1.2, -0.5, -1.5]


def search_of(count=5, prior=None, good=GOOD, bad=BAD, **changes):
    names = [f"c{place}" for place in range(count)]
    return Bisection(names, prior or [1 / count] * count, list(good), list(bad), **changes)


def bayes(search):
    """Integrate the likelihood over two levels, the lower one second, and over the spread."""
    axis = np.linspace(-8, 7, 1501)
    good, bad = np.meshgrid(axis, axis, indexing="ij")
    weights = []
    for culprit, prior in enumerate(search.prior):
        values = [(value, good) for value in search.good] + [(value, bad) for value in search.bad]
        for commit, value, _ in search.runs:
            fallen = search.commits.index(commit) >= culprit
            values.append((value, bad if fallen else good))
        squares = ((np.mean(search.good) - np.mean(search.bad)) / 20) ** 2
        squares = squares + sum((value - level) ** 2 for value, level in values)
        # The integral of a normal likelihood over σ, whose prior is 1/σ.
        likelihood = squares ** (-len(values) / 2)
        weights.append(prior * likelihood[good > bad].sum())
    return np.array(weights) / sum(weights)


def test_the_posterior_is_bayes_rule():
    search = search_of(prior=[0.1, 0.3, 0.2, 0.3, 0.1])
    assert search.posterior == pytest.approx(search.prior)
    for run in [("c2", -0.9), ("c1", 0.2), ("c1", -0.3)]:
        search.add(*run)
        assert search.posterior == pytest.approx(bayes(search), abs=2e-3)


def test_a_run_that_repeats_an_end_needs_no_statistics():
    """Its value says nothing: the ends' runs with its seed may have been lucky ones."""
    alike = {"good": [0.1, -2.0, 1.9], "bad": [-0.1, -2.0, 1.7]}
    search = search_of(64, touch_prior([place % 6 == 1 for place in range(64)]), **alike)
    while not search.done:
        commit = search.next_commit
        search.add(commit, -2.0, "bad" if int(commit[1:]) >= 31 else "good")
    assert search.suspects == ["c31"]
    assert len(search.runs) <= 5  # eleven commits touch the case, and two runs prove one

    once = search_of(3, good=[1.0], bad=[0.0])
    once.add("c1", 1.0, "good")
    assert once.posterior == pytest.approx(np.array([1e-3, 1e-3, 1]) / 1.002)
    assert Bisection.from_json(once.to_json()) == once


def test_the_next_commit_leaves_the_least_expected_entropy():
    search = search_of(prior=[0.05, 0.5, 0.15, 0.25, 0.05])
    search.add("c2", -0.4)
    fit, best = search._fit(), int(np.argmax(search.posterior))

    def expected(place):
        def weights(value):
            levels = (fit.bad if place >= culprit else fit.good for culprit in range(5))
            densities = [
                student.pdf(value, fit.degrees, level[best], fit.deviation[best])
                for level in levels
            ]
            return search.posterior * densities

        def integrand(value):
            after = weights(value)
            return after.sum() * entropy(after, base=2)

        return quad(integrand, -12, 11, limit=200, points=[-1, 0])[0]

    costs = {commit: expected(place) for place, commit in enumerate(search.commits[:-1])}
    assert search.next_commit == min(costs, key=costs.get)


def test_a_search_ends_at_the_culprit():
    rng = np.random.default_rng(0)
    touches = [place % 6 == 1 for place in range(64)]
    ends = rng.normal([[0.0], [-1.0]], 0.25, (2, 3))
    search = search_of(64, touch_prior(touches), *ends)
    while not search.done:
        commit = search.next_commit
        level = -1.0 if int(commit[1:]) >= 31 else 0.0
        search.add(commit, level + 0.25 * rng.standard_normal())
    assert search.suspects == ["c31"]
    assert search.confidence >= CONFIDENCE
    assert len(search.runs) <= 10


@pytest.mark.parametrize("culprit", [0, 1, 3, 4])
def test_no_commit_is_blamed_for_its_files_alone(culprit):
    """The prior of one commit that touches the case is higher than the confidence wanted."""
    prior = touch_prior([place == 1 for place in range(5)])
    search = search_of(prior=prior, good=[1.0], bad=[0.0], fixed=True)
    assert search.confidence >= CONFIDENCE
    assert not search.sure
    while not search.done:
        search.add(search.next_commit, 0.0 if int(search.next_commit[1:]) >= culprit else 1.0)
    assert search.suspects == [f"c{culprit}"]
    assert search.sure
    assert len(search.runs) <= 3
    if culprit == 1:
        assert {commit for commit, *_ in search.runs} == {"c0", "c1"}


def test_a_single_commit_needs_no_run_but_those_of_the_ends():
    search = search_of(1)
    assert search.done
    assert search.sure


def test_a_commit_that_does_not_build_cannot_be_told_from_the_next():
    search = search_of(4, good=[0.1, 0.0, -0.1], bad=[-1.1, -1.0, -0.9])
    search.skip("c1")
    search.skip("c1")
    while not search.done:
        commit = search.next_commit
        assert commit != "c1"
        search.add(commit, 0.0 if commit == "c0" else -1.0)
    assert search.suspects == ["c1", "c2"]
    assert search.skipped == ["c1"]


def test_a_search_ends_where_nothing_can_run():
    search = search_of(3)
    for commit in ("c0", "c1"):
        search.skip(commit)
    assert search.next_commit is None
    assert search.done
    assert search.suspects == ["c0", "c1", "c2"]


def test_a_search_resumes_from_its_json():
    search = search_of()
    search.add("c2", -0.7)
    search.skip("c3")
    again = Bisection.from_json(search.to_json())
    assert again == search
    assert again.next_commit == search.next_commit


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": [], "x": 1}'])
def test_another_file_is_refused(text):
    with pytest.raises(BisectionError, match="start anew"):
        Bisection.from_json(text)


def test_one_run_of_each_commit_is_enough_where_equal_code_gives_equal_scores():
    search = search_of(64, good=[0.91], bad=[0.9], fixed=True)
    while not search.done:
        search.add(search.next_commit, 0.9 if int(search.next_commit[1:]) >= 31 else 0.91)
    assert search.suspects == ["c31"]
    assert len(search.runs) == 6  # log2(64)


def test_a_search_without_a_drop_is_refused():
    for ends in ([1.0], [1.0]), ([1.0], [1.1]), ([], [1.0]), ([1.0], []):
        with pytest.raises(BisectionError, match="Confirm"):
            search_of(good=ends[0], bad=ends[1])
    with pytest.raises(BisectionError, match="prior"):
        Bisection(["a", "b"], [1.0], GOOD, BAD)
    with pytest.raises(BisectionError, match="prior"):
        Bisection(["a"], [0.0], GOOD, BAD)
    with pytest.raises(BisectionError, match="candidates"):
        search_of().add("z", 1.0)


def test_commits_that_touch_the_case_share_nearly_all_of_the_prior():
    assert touch_prior([False, True, False]) == pytest.approx([0.005, 0.99, 0.005])
    assert touch_prior([False, False]) == touch_prior([True, True]) == [0.5, 0.5]
