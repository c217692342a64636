"""Study 1's verdict: does a ConvNeXt teacher beat a ResNet teacher?

Seeds are averaged within a category, then the categories are paired and tested. A category counts
only if both sides saw the same data under the same budget.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.aggregate.markdown import EMPTY, bold, points, table
from bench.aggregate.rows import ComparableRuns, grouped
from bench.aggregate.statistics import (
    EXACT_LIMIT,
    SIGNIFICANCE,
    PairedTest,
    fewest_pairs,
    paired_test,
    pooled_sd,
)
from bench.record import Record
from bench.study import Study


@dataclass(frozen=True)
class Pair:
    """Two variants to compare.

    Attributes:
        question: What a difference between them would mean.
        same_recipe: Whether the answer holds only if both ran under one recipe.
        chosen_on: Dataset on which the recipe's constants were chosen; it is left out of the test.
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
    """The answer for one pair, initialization and scoring head.

    Attributes:
        categories: ``dataset.category`` of every pair of values tested.
        test: Differences are ConvNeXt minus ResNet; None without a category.
        seed_sd: Spread between seeds within a category and side, pooled; None with one seed.
        seeds: Smallest and largest number of seeds behind a value.
        left_out: Number of categories that both sides have but that do not count, by reason.
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


def report(study: Study, runs: ComparableRuns) -> Iterator[str]:
    """Yield the study's answers, the main question first, for each of its heads."""
    metric = study.ranking_metric.name
    yield from verdict_table([v for head in study.heads for v in verdicts(runs, head, metric)])


def verdicts(
    runs: ComparableRuns, head: str = "single_scale", metric: str = "image_auroc"
) -> list[Verdict]:
    """Return the verdict of every pair with records; the main pair is always among them.

    Args:
        runs: Records of one profile and class of environment.
        head: Scoring head.
        metric: Metric of that head; higher is better.
    """
    valued = [r for r in runs.records if _values([r], head, metric)]
    sides = {
        variant: grouped(of_variant, lambda r: (r.case.pretrained, r.case.augmentation))
        for variant, of_variant in grouped(valued, lambda r: r.case.variant).items()
    }
    answers = []
    for pair in PAIRS:
        first, second = sides.get(pair.resnet, {}), sides.get(pair.convnext, {})
        axes = sorted(first.keys() & second.keys())
        for axis in axes or ([(True, "default")] if pair is MAIN_PAIR else []):
            resnet, convnext = (
                grouped(side.get(axis, []), lambda r: r.case.data) for side in (first, second)
            )
            categories, left_out = _comparable(pair, resnet, convnext)
            cells = [
                [_values(side[data], head, metric) for side in (resnet, convnext)]
                for data in categories
            ]
            answers.append(_verdict(pair, axis, (head, metric), categories, cells, left_out))
    return sorted(answers, key=lambda verdict: not verdict.pretrained)


def conclude(test: PairedTest | None) -> str:
    """Return the verdict in words; "no difference shown" does not mean that there is none."""
    if test is None:
        return "not tested (no category that both sides have)"
    n, p = test.difference.n, test.p
    if p is None:
        noun = "category" if n == 1 else "categories"
        return f"not tested (n = {n} {noun}, at least {fewest_pairs()} needed)"
    if p >= SIGNIFICANCE:
        return "no difference shown"
    return "ConvNeXt ahead" if test.difference.mean > 0 else "ResNet ahead"


def _values(records: Sequence[Record], head: str, metric: str) -> list[float]:
    values = (record.metrics.get(head, {}).get(metric) for record in records)
    return [value for value in values if value is not None]


def _verdict(
    pair: Pair,
    axis: tuple[bool, str],
    measure: tuple[str, str],
    categories: tuple[str, ...],
    cells: list[list[list[float]]],
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
    pair: Pair, resnet: Mapping[str, list[Record]], convnext: Mapping[str, list[Record]]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the categories that count, and why others that both sides have do not."""
    left_out: Counter[str] = Counter()
    recipes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for data in sorted(resnet.keys() & convnext.keys()):
        first, second = resnet[data][0], convnext[data][0]
        if reason := _incomparable(pair, first, second):
            left_out[reason] += 1
        else:
            recipes[first.key.recipe, second.key.recipe].append(data)
    if not recipes:
        return (), dict(left_out)
    # One recipe a side over all categories: the one that most of them were run under.
    categories = recipes.pop(max(recipes, key=lambda key: (len(recipes[key]), key)))
    if others := sum(map(len, recipes.values())):
        left_out["run under another recipe than most"] += others
    return tuple(categories), dict(left_out)


def _incomparable(pair: Pair, first: Record, second: Record) -> str | None:
    """Why a category's two sides cannot be compared, or None."""
    if first.case.dataset == pair.chosen_on:
        return f"the tuned constants were chosen on {pair.chosen_on}"
    if first.key.data != second.key.data:
        return "the sides saw different images"
    if pair.same_recipe and first.key.recipe != second.key.recipe:
        return "the sides ran under different recipes"
    if _budget(first.protocol) != _budget(second.protocol):
        return "the sides ran under different budgets"
    return None


def _budget(protocol: dict[str, Any]) -> dict[str, Any]:
    """Return a protocol without the recipe, which each family has of its own."""
    return {name: protocol[name] for name in protocol.keys() - {"recipe", "recipe_name"}}


def verdict_table(answers: Sequence[Verdict]) -> Iterator[str]:
    """Yield a table of verdicts, what was left out, and how to read it."""
    yield "#### Verdict: ResNet against ConvNeXt"
    headings = [
        "When",
        "ResNet / ConvNeXt side",
        "Init",
        "Head",
        "Categories",
        "Image AUROC difference, points",
        "p",
        "Seed sd",
        "Seeds",
        "Verdict",
    ]
    yield table(headings, list(map(_line, answers)), words=(0, 1, 2, 3, 9))
    notes = [
        f"- {verdict.pair.resnet} / {verdict.pair.convnext}, {verdict.head}: left out {count} "
        f"{'category' if count == 1 else 'categories'}, {reason}"
        for verdict in answers
        for reason, count in sorted(verdict.left_out.items())
    ]
    if notes:
        yield "\n".join(dict.fromkeys(notes))
    yield (
        "Difference: ConvNeXt minus ResNet, mean over categories [95 % CI over categories]; seeds "
        "are averaged within each category first. p: two-sided sign-flip test over categories, "
        f"exact for up to {EXACT_LIMIT} of them; fewer than {fewest_pairs()} cannot reach "
        f"p < {SIGNIFICANCE:.2f}. No correction for the number of rows: the first row is the "
        "study's question. Seed sd: standard deviation between seeds of one configuration and "
        "category, in points; the test does not use it."
    )


def _line(verdict: Verdict) -> list[str]:
    main = verdict.pair is MAIN_PAIR
    test = verdict.test
    return [
        bold(verdict.pair.question) if main else verdict.pair.question,
        f"{verdict.pair.resnet} / {verdict.pair.convnext}",
        "pretrained" if verdict.pretrained else "scratch",
        verdict.head,
        str(len(verdict.categories)),
        points(test.difference) if test else EMPTY,
        EMPTY if test is None or test.p is None else _p_text(test.p),
        EMPTY if verdict.seed_sd is None else f"{100 * verdict.seed_sd:.2f}",
        "–".join(str(count) for count in sorted(set(verdict.seeds))),
        bold(verdict.text) if main else verdict.text,
    ]


def _p_text(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
