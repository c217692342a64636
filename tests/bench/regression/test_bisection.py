"""The bisection against Bayes' rule written out, and on noise of its own."""

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


def search_of(count=5, prior=None, **changes):
    settings = {"good": 0.0, "bad": -1.0, "deviation": 0.6, "degrees": 5.0} | changes
    names = [f"c{place}" for place in range(count)]
    return Bisection(names, prior or [1 / count] * count, **settings)


def bayes(search, runs):
    """Multiply prior and densities, commit by commit."""
    weights = []
    for culprit, prior in enumerate(search.prior):
        weight = prior
        for commit, value in runs:
            level = search.bad if search.commits.index(commit) >= culprit else search.good
            weight *= student.pdf(value, search.degrees, level, search.deviation)
        weights.append(weight)
    return np.array(weights) / sum(weights)


RUNS = [("c2", -0.9), ("c1", 0.2), ("c1", -0.3)]


def test_the_posterior_is_bayes_rule():
    search = search_of(prior=[0.1, 0.3, 0.2, 0.3, 0.1])
    for run in RUNS:
        search.add(*run)
    assert search.posterior == pytest.approx(bayes(search, RUNS))


def test_the_next_commit_leaves_the_least_expected_entropy():
    search = search_of(prior=[0.05, 0.5, 0.15, 0.25, 0.05])
    search.add("c2", -0.4)

    def expected(commit):
        def density(value):
            return sum(
                share
                * student.pdf(
                    value,
                    search.degrees,
                    search.bad if search.commits.index(commit) >= culprit else search.good,
                    search.deviation,
                )
                for culprit, share in enumerate(search.posterior)
            )

        def integrand(value):
            after = bayes(search, [*search.runs, (commit, value)])
            return density(value) * entropy(after, base=2)

        return quad(integrand, -12, 11, limit=200, points=[-1, 0])[0]

    costs = {commit: expected(commit) for commit in search.commits[:-1]}
    assert search.next_commit == min(costs, key=costs.get)


def test_a_search_ends_at_the_culprit():
    rng = np.random.default_rng(0)
    touches = [place % 6 == 1 for place in range(64)]
    search = search_of(64, touch_prior(touches), deviation=0.25, degrees=30.0)
    while not search.done:
        commit = search.next_commit
        level = -1.0 if int(commit[1:]) >= 31 else 0.0
        search.add(commit, level + 0.25 * rng.standard_normal())
    assert search.suspects == ["c31"]
    assert search.confidence >= CONFIDENCE
    assert len(search.runs) <= 10


def test_a_commit_that_does_not_build_cannot_be_told_from_the_next():
    search = search_of(4, deviation=0.1)
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


def test_a_search_goes_on_from_its_json():
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


def test_levels_and_spread_are_those_of_runs_of_both_ends():
    search = Bisection.between(["a", "b"], [0.5, 0.5], [1.0, 1.2, 1.1], [0.0, 0.4, 0.1])
    assert (search.good, search.bad, search.degrees) == (1.1, 0.1, 4.0)
    variance = (0.02 + 0.10) / 4  # squares around the two levels, over the degrees
    assert search.deviation == pytest.approx(np.sqrt(variance * (1 + 1 / 3)))
    equal = Bisection.between(["a", "b"], [0.5, 0.5], [1.0], [0.0])
    assert equal.deviation == pytest.approx(0.05)
    with pytest.raises(BisectionError, match="Confirm"):
        Bisection.between(["a", "b"], [0.5, 0.5], [1.0], [1.0])


def test_a_search_without_a_drop_is_refused():
    with pytest.raises(BisectionError, match="Confirm"):
        search_of(bad=0.0)
    with pytest.raises(BisectionError, match="prior"):
        Bisection(["a", "b"], [1.0], 0.0, -1.0, 0.1, 5.0)
    with pytest.raises(BisectionError, match="prior"):
        Bisection(["a"], [0.0], 0.0, -1.0, 0.1, 5.0)
    with pytest.raises(BisectionError, match="candidates"):
        search_of().add("z", 1.0)


def test_commits_that_touch_the_case_share_nearly_all_of_the_prior():
    assert touch_prior([False, True, False]) == pytest.approx([0.005, 0.99, 0.005])
    assert touch_prior([False, False]) == touch_prior([True, True]) == [0.5, 0.5]
