"""Study 1's verdict: does a ConvNeXt teacher beat a ResNet teacher? Computed from records alone.

Seeds are averaged within a category, then the categories are paired and tested. A category counts
only where both sides saw the same data under the same budget.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.record import Record
from bench.aggregate.statistics import (
    SIGNIFICANCE,
    PairedTest,
    fewest_pairs,
    paired_test,
    pooled_sd,
)
from bench.aggregate.rows import ComparableRuns
from bench.table_spec import ANOMALY


@dataclass(frozen=True)
class Pair:
    """Two model values to compare.

    Attributes:
        question: What a difference between them would mean.
        same_recipe: Whether the answer holds only if both ran under one recipe.
        chosen_on: Dataset the recipe's constants were chosen on, which therefore cannot judge it.
    """

    resnet: str
    convnext: str
    question: str
    same_recipe: bool = False
    chosen_on: str | None = None


MAIN_PAIR = Pair(
    "rd_resnet50.same",
    "rd_convnext_adapted.same",
    "Only the teacher differs",
    same_recipe=True,
)

PAIRS = (
    MAIN_PAIR,
    Pair("rd_resnet50.same", "rd_convnext.same", "Own student each, one recipe", same_recipe=True),
    Pair(
        "rd_resnet50.same",
        "rd_convnext_cnblock.same",
        "Own student each (ConvNeXt blocks), one recipe",
        same_recipe=True,
    ),
    Pair("rd_resnet50", "rd_convnext", "Own student and original recipe each"),
    Pair(
        "rd_resnet50", "rd_convnext_cnblock", "Own student (ConvNeXt blocks), original recipe each"
    ),
    Pair(
        "rd_resnet50.tuned",
        "rd_convnext.tuned",
        "Own student and tuned recipe each",
        chosen_on="surface",
    ),
)


@dataclass(frozen=True)
class Verdict:
    """The answer for one pair, start and scoring head.

    Attributes:
        categories: ``dataset.category`` of every pair of values tested.
        test: Differences are ConvNeXt minus ResNet; None without a category.
        seed_sd: Spread between seeds within a category and side, pooled; None with one seed.
        seeds: Fewest and most seeds behind a value.
        left_out: Why categories that both sides have were not counted, with how many.
        text: The verdict in words.
    """

    pair: Pair
    pretrained: bool
    augmentation: str
    head: str
    metric: str
    categories: tuple[str, ...]
    test: PairedTest | None
    seed_sd: float | None
    seeds: tuple[int, int]
    left_out: dict[str, int]
    text: str


@dataclass(frozen=True)
class _Side:
    """One model's records and values on one category, by seed."""

    first: Record
    values: list[float]


def verdicts(
    runs: ComparableRuns, head: str = ANOMALY.heads[0], metric: str = ANOMALY.ranking
) -> list[Verdict]:
    """The verdict of every pair that one section's records speak to; the main one is always there.

    Args:
        runs: Records of one profile and class of environment.
        head: Scoring head.
        metric: Metric of that head; higher is better.
    """
    sides = _sides(runs.records, head, metric)
    found = []
    for pair in PAIRS:
        axes = sorted(sides.get(pair.resnet, {}).keys() & sides.get(pair.convnext, {}).keys())
        if not axes and pair is MAIN_PAIR:
            axes = [(True, "default")]
        for axis in axes:
            resnet, convnext = (
                sides.get(name, {}).get(axis, {}) for name in (pair.resnet, pair.convnext)
            )
            categories, left_out = _comparable(pair, resnet, convnext)
            cells = [(resnet[data].values, convnext[data].values) for data in categories]
            found.append(_verdict(pair, axis, (head, metric), categories, cells, left_out))
    return sorted(found, key=lambda verdict: not verdict.pretrained)


def conclude(test: PairedTest | None) -> str:
    """The verdict in words; "no difference shown" does not say that there is none."""
    if test is None:
        return "not tested (no category that both sides have)"
    n, p = test.difference.n, test.p
    if p is None:
        noun = "category" if n == 1 else "categories"
        return f"not tested (n = {n} {noun}, at least {fewest_pairs()} needed)"
    if p >= SIGNIFICANCE:
        return "no difference shown"
    return "ConvNeXt ahead" if test.difference.mean > 0 else "ResNet ahead"


_Sides = dict[str, dict[tuple[bool, str], dict[str, _Side]]]


def _sides(records: Iterable[Record], head: str, metric: str) -> _Sides:
    """Values by model, by (pretrained, augmentation), by ``dataset.category``."""
    sides: _Sides = defaultdict(lambda: defaultdict(dict))
    for record in records:
        value = record.metrics.get(head, {}).get(metric)
        case = record.case
        if value is None:
            continue
        cells = sides[case.variant][case.pretrained, case.augmentation]
        data = ".".join(filter(None, (case.dataset, case.category)))
        cells.setdefault(data, _Side(record, [])).values.append(value)
    return sides


def _verdict(
    pair: Pair,
    axis: tuple[bool, str],
    measure: tuple[str, str],
    categories: tuple[str, ...],
    cells: list[tuple[list[float], list[float]]],
    left_out: dict[str, int],
) -> Verdict:
    means = [(fmean(resnet), fmean(convnext)) for resnet, convnext in cells]
    test = paired_test(*zip(*means, strict=True)) if means else None
    groups = [values for cell in cells for values in cell]
    counts = [len(values) for values in groups] or [0]
    return Verdict(
        pair,
        *axis,
        *measure,
        categories=categories,
        test=test,
        seed_sd=pooled_sd(groups),
        seeds=(min(counts), max(counts)),
        left_out=left_out,
        text=conclude(test),
    )


def _comparable(
    pair: Pair, resnet: dict[str, _Side], convnext: dict[str, _Side]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The categories that count, and why others that both sides have do not."""
    left_out: Counter[str] = Counter()
    recipes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for data in sorted(resnet.keys() & convnext.keys()):
        one, other = resnet[data].first, convnext[data].first
        if reason := _incomparable(pair, one, other):
            left_out[reason] += 1
        else:
            recipes[one.key.recipe, other.key.recipe].append(data)
    if not recipes:
        return (), dict(left_out)
    # One recipe a side over all categories: the one that most of them were run under.
    categories = recipes.pop(max(recipes, key=lambda key: (len(recipes[key]), key)))
    if others := sum(map(len, recipes.values())):
        left_out["run under another recipe than most"] += others
    return tuple(categories), dict(left_out)


def _incomparable(pair: Pair, one: Record, other: Record) -> str | None:
    """Why a category's two sides cannot be compared, or None."""
    if one.case.dataset == pair.chosen_on:
        return f"the tuned constants were chosen on {pair.chosen_on}"
    if one.key.data != other.key.data:
        return "the sides saw different images"
    if pair.same_recipe and one.key.recipe != other.key.recipe:
        return "the sides ran under different recipes"
    if _budget(one.protocol) != _budget(other.protocol):
        return "the sides ran under different budgets"
    return None


def _budget(protocol: dict[str, Any]) -> dict[str, Any]:
    """Everything of a protocol that is not the family's own recipe."""
    return {
        name: value for name, value in protocol.items() if name not in {"recipe", "recipe_name"}
    }
