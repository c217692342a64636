"""Choose an ensemble on one half of the test images; measure what it gains on the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from bench.ensemble.combine import COMBINATIONS, mean
from bench.ensemble.halves import selection_half
from bench.ensemble.members import Member, Panel
from bench.metrics.bootstrap import Interval, auroc_of_scores, bootstrap
from bench.metrics.ranking import auroc

SIZES = range(2, 6)
"""Sizes of the subsets that are tried."""

Members = tuple[Member, ...]


@dataclass(frozen=True)
class Ensemble:
    """A subset of the members, on both halves of the images.

    Attributes:
        members: Its members, the best on the selection half first.
        selection: Image AUROC on the half that it was chosen on.
        report: Image AUROC on the other half.
        selection_gain: Gain over the best single model on the half that both were chosen on.
        gain: Gain on the other half, with its paired 95 % bootstrap interval over images.
        extra_ms: Median time of its members for one image, one after another, less the best
            single model's; None where one was not measured.
    """

    members: Members
    selection: float
    report: float
    selection_gain: float
    gain: Interval
    extra_ms: float | None

    @property
    def gain_per_ms(self) -> float | None:
        """Return the gain on the report half per extra millisecond; None without extra time."""
        return self.gain.value / self.extra_ms if self.extra_ms and self.extra_ms > 0 else None

    @property
    def conclusion(self) -> str:
        """Return whether the interval of the gain lies on one side of zero."""
        if self.gain.low > 0:
            return "gain shown"
        return "loss shown" if self.gain.high < 0 else "no gain shown"


@dataclass(frozen=True)
class Choice:
    """The outcome of one panel.

    Attributes:
        panel: Members and images.
        half: ``(N,)`` booleans: images to choose on.
        ranked: All members, the best on the selection half first.
        candidates: Those that subsets were made of.
        chosen: The best subset of each size on the selection half, and of these the best.
        by_size: The best subset of each size on the selection half.
        checks: Image AUROC of the chosen members on both halves, by combination method.
        tied: Number of subsets with the highest selection AUROC.
    """

    panel: Panel
    half: Tensor
    ranked: Members
    candidates: Members
    chosen: Ensemble
    by_size: tuple[Ensemble, ...]
    checks: dict[str, tuple[float, float]]
    tied: int

    @property
    def best_single(self) -> Member:
        """Return the model with the highest AUROC on the selection half."""
        return self.ranked[0]


def choose(panel: Panel, top: int) -> Choice:
    """Choose an ensemble of a panel.

    The best single model, the candidates and the subset are all chosen on the selection half, so
    that the report half has seen no choice. Of subsets that tie, as many do at an AUROC of 1, the
    smallest wins, then the fastest.

    Args:
        panel: At least two members.
        top: Number of candidates that subsets are made of.
    """
    labels = panel.members[0].labels
    half = selection_half(panel.members[0].names, labels.tolist(), panel.split_by)
    on_selection = {m: auroc(m.scores[half], labels[half]) for m in panel.members}
    ranked = tuple(sorted(panel.members, key=lambda m: (-on_selection[m], _latency(m), m.name)))
    candidates = preferred(ranked, top)

    def measured(members: Members) -> Ensemble:
        return _measure(members, ranked[0], half, labels)

    def of_subset(members: Members) -> float:
        return auroc(mean(_scores(members))[half], labels[half])

    subsets = {
        members: of_subset(members) for size in SIZES for members in combinations(candidates, size)
    }
    highest = max(subsets.values())
    by_size = tuple(measured(_best(subsets, size)) for size in SIZES if size <= len(candidates))
    chosen = max(by_size, key=lambda ensemble: (ensemble.selection, -len(ensemble.members)))
    checks = {
        name: (auroc(c[half], labels[half]), auroc(c[~half], labels[~half]))
        for name, combine in COMBINATIONS.items()
        for c in [_combined_by_half(combine, chosen.members, half)]
    }
    tied = sum(value == highest for value in subsets.values())
    return Choice(panel, half, ranked, candidates, chosen, by_size, checks, tied)


def preferred(ranked: Sequence[Member], count: int) -> Members:
    """Return members to combine: the best of each family first, then the best of the rest.

    Args:
        ranked: Members, the best first.
        count: Number of them.
    """
    firsts = list({member.family: member for member in reversed(ranked)}.values())
    firsts.sort(key=ranked.index)
    rest = [member for member in ranked if member not in firsts]
    return tuple(sorted((firsts + rest)[:count], key=ranked.index))


def _best(subsets: dict[Members, float], size: int) -> Members:
    def order(members: Members) -> tuple[float, float]:
        return -subsets[members], sum(map(_latency, members))

    return min((members for members in subsets if len(members) == size), key=order)


def _latency(member: Member) -> float:
    """Return a member's latency in ms; infinity if it was not measured."""
    return math.inf if member.latency_ms is None else member.latency_ms


def _measure(members: Members, single: Member, half: Tensor, labels: Tensor) -> Ensemble:
    combined, other = mean(_scores(members)), ~half
    selection, report = (auroc(combined[rows], labels[rows]) for rows in (half, other))
    ours, theirs = (
        auroc_of_scores(scores[other], labels[other]) for scores in (combined, single.scores)
    )
    gain = bootstrap(lambda counts: ours(counts) - theirs(counts), labels[other])
    times = [member.latency_ms for member in (*members, single)]
    known = [time for time in times if time is not None]
    return Ensemble(
        members,
        selection,
        report,
        selection - auroc(single.scores[half], labels[half]),
        gain,
        sum(known[:-1]) - known[-1] if len(known) == len(times) else None,
    )


def _combined_by_half(
    combine: Callable[[Tensor], Tensor], members: Members, half: Tensor
) -> Tensor:
    """Return combined scores, each half on its own: ranks must not see the other half."""
    scores = _scores(members)
    combined = torch.empty_like(scores[0])
    for rows in (half, ~half):
        combined[rows] = combine(scores[:, rows])
    return combined


def _scores(members: Sequence[Member]) -> Tensor:
    return torch.stack([member.scores for member in members])
