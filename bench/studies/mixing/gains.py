"""The gain of pretraining, and the best combinations, from a table of top-1 values."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from bench.studies.mixing.contrasts import Contrast, contrast
from bench.studies.mixing.hypotheses import word_for
from bench.studies.mixing.points import Outcome, Outcomes, Point


@dataclass(frozen=True)
class Gain:
    """Pretrained minus scratch for a model and augmentation.

    Attributes:
        scratch: Mean top-1 from random weights, a fraction of 1.
        pretrained: Mean top-1 from published weights.
        difference: Their difference; None if they share no seed.
        verdict: Verdict in words.
    """

    point: Point
    scratch: float
    pretrained: float
    difference: Contrast | None
    verdict: str


@dataclass(frozen=True)
class Best:
    """The combination with the highest mean top-1 on a dataset, and the next.

    Attributes:
        top1: Mean top-1 of the best, a fraction of 1.
        lead: The best minus the next on the seeds they share; None if they share none.
        verdict: Verdict in words.
    """

    point: Point
    top1: float
    next: Point | None
    lead: Contrast | None
    verdict: str


def pretraining_gains(outcomes: Outcomes) -> list[Gain]:
    """Return the gain of every point that ran both pretrained and from scratch."""
    rows = []
    for point in sorted(outcomes):
        scratch = point._replace(pretrained=False)
        if point.pretrained and scratch in outcomes:
            difference = contrast(outcomes, {point: 1, scratch: -1})
            verdict = word_for(difference, {1: "gain", -1: "loss", 0: "no gain shown"})
            means = _mean(outcomes[scratch]), _mean(outcomes[point])
            rows.append(Gain(point, *means, difference, verdict))
    return rows


def best_combinations(outcomes: Outcomes) -> list[Best]:
    """Return the best combination of every dataset; equal means are sorted by name."""
    by_dataset: dict[str, list[Point]] = defaultdict(list)
    for point in sorted(outcomes):
        by_dataset[point.dataset].append(point)
    rows = []
    for points in by_dataset.values():
        best, *others = sorted(points, key=lambda point: -_mean(outcomes[point]))
        following = others[0] if others else None
        lead = None if following is None else contrast(outcomes, {best: 1, following: -1})
        words = {1: "ahead", -1: "not shown to be ahead", 0: "not shown to be ahead"}
        verdict = "nothing to compare" if following is None else word_for(lead, words)
        rows.append(Best(best, _mean(outcomes[best]), following, lead, verdict))
    return rows


def _mean(outcome: Outcome) -> float:
    return fmean(outcome.by_seed[seed] for seed in sorted(outcome.by_seed))
