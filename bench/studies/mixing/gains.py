"""What pretraining gains, and which combination is best, from a table of top-1 values alone."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from bench.studies.mixing.contrasts import Contrast, contrast
from bench.studies.mixing.hypotheses import judge
from bench.studies.mixing.points import Outcome, Outcomes, Point


@dataclass(frozen=True)
class Gain:
    """Pretrained minus scratch of one model and augmentation.

    Attributes:
        scratch: Mean top-1 from random weights, a fraction of 1.
        pretrained: Mean top-1 from published weights.
        found: Their difference; None where they share no seed.
        verdict: In words.
    """

    point: Point
    scratch: float
    pretrained: float
    found: Contrast | None
    verdict: str


@dataclass(frozen=True)
class Best:
    """A dataset's combination of the highest mean top-1, and the next.

    Attributes:
        top1: Mean top-1 of the best, a fraction of 1.
        lead: The best minus the next on the seeds they share; None where there is none.
        verdict: In words.
    """

    point: Point
    top1: float
    next: Point | None
    lead: Contrast | None
    verdict: str


def pretraining_gains(outcomes: Outcomes) -> list[Gain]:
    """The gain of every point that ran from both starts."""
    found = []
    for point in sorted(outcomes):
        scratch = point._replace(pretrained=False)
        if point.pretrained and scratch in outcomes:
            difference = contrast(outcomes, {point: 1, scratch: -1})
            verdict = judge(difference, {1: "gain", -1: "loss", 0: "no gain shown"})
            means = _mean(outcomes[scratch]), _mean(outcomes[point])
            found.append(Gain(point, *means, difference, verdict))
    return found


def best_combinations(outcomes: Outcomes) -> list[Best]:
    """The best of every dataset; equal means go by name."""
    by_dataset: dict[str, list[Point]] = defaultdict(list)
    for point in sorted(outcomes):
        by_dataset[point.dataset].append(point)
    found = []
    for points in by_dataset.values():
        best, *others = sorted(points, key=lambda point: -_mean(outcomes[point]))
        following = others[0] if others else None
        lead = None if following is None else contrast(outcomes, {best: 1, following: -1})
        words = {1: "ahead", -1: "not shown to be ahead", 0: "not shown to be ahead"}
        verdict = "nothing to compare" if following is None else judge(lead, words)
        found.append(Best(best, _mean(outcomes[best]), following, lead, verdict))
    return found


def _mean(outcome: Outcome) -> float:
    return fmean(outcome.by_seed[seed] for seed in sorted(outcome.by_seed))
