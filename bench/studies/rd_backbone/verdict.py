"""Study 1's verdict: does a ConvNeXt teacher beat a ResNet teacher?

Seeds are averaged within a category, then the categories of one dataset are paired and tested:
real parts are never pooled with generated textures. A category counts only if both sides saw the
same data under the same budget.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.aggregate.conditions import deviations
from bench.aggregate.frame import ComparableRuns, lines_of
from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, bold, p_text, points, table
from bench.aggregate.statistics import (
    EXACT_LIMIT,
    SIGNIFICANCE,
    PairedTest,
    fewest_pairs,
    paired_test,
    pooled_sd,
)
from bench.record import Record
from bench.recorded_protocol import budget_fields, recipe_constants
from bench.study import Study
from models.catalog import MODELS, Recipe


@dataclass(frozen=True)
class TeacherPair:
    """Two variants to compare.

    Attributes:
        question: What a difference between them would mean.
        same_recipe: Whether the answer holds only if both ran under one recipe.
        chosen_on: Dataset on which the recipe's constants were chosen; it is left out of the test,
            and there is no verdict before they were chosen for both sides.
    """

    resnet: str
    convnext: str
    question: str
    same_recipe: bool = False
    chosen_on: str | None = None

    @property
    def models(self) -> tuple[str, str]:
        """Return the models' names without their recipes."""
        return self.resnet.partition(".")[0], self.convnext.partition(".")[0]


MAIN_PAIR = TeacherPair(
    "rd_resnet50.same",
    "rd_convnext_adapted.same",
    "Only the teacher differs",
    same_recipe=True,
)

PAIRS = (
    MAIN_PAIR,
    TeacherPair(
        "rd_resnet50.same", "rd_convnext.same", "Own student each, one recipe", same_recipe=True
    ),
    TeacherPair(
        "rd_resnet50.same",
        "rd_convnext_cnblock.same",
        "Own student each (ConvNeXt blocks), one recipe",
        same_recipe=True,
    ),
    TeacherPair("rd_resnet50", "rd_convnext", "Own student and original recipe each"),
    TeacherPair(
        "rd_resnet50", "rd_convnext_cnblock", "Own student (ConvNeXt blocks), original recipe each"
    ),
    TeacherPair(
        "rd_resnet50.tuned",
        "rd_convnext.tuned",
        "Own student and tuned recipe each",
        chosen_on="surface",
    ),
)

_HEADINGS = (
    *("When", "ResNet / ConvNeXt side", "Dataset", "Init", "Head", "Categories"),
    *("Image AUROC difference, points", "p", "Seed sd", "Seeds", "Verdict"),
)


@dataclass(frozen=True)
class TeacherVerdict:
    """The answer for one pair, dataset, initialization and scoring head.

    Attributes:
        dataset: Dataset of the categories; empty where the sides share none.
        categories: ``dataset.category`` of every pair of values tested.
        test: Differences are ConvNeXt minus ResNet; None without a category.
        seed_sd: Spread between seeds within a category and side, pooled; None with one seed.
        seeds: Smallest and largest number of seeds behind a value.
        left_out: Number of categories that both sides have but that do not count, by reason.
        deviations: How the runs tested deviate from their recipes; then the answer is withheld.
        text: The verdict in words.
    """

    pair: TeacherPair
    dataset: str
    pretrained: bool
    augmentation: str
    head: str
    metric: str
    categories: tuple[str, ...]
    test: PairedTest | None
    seed_sd: float | None
    seeds: tuple[int, int]
    left_out: dict[str, int]
    deviations: list[str]
    text: str


def answer(study: Study, runs: ComparableRuns) -> Iterator[str]:
    """Yield the main question's answer by dataset, on the head that ranks."""
    metric = study.ranking_metric
    answers = verdicts(runs, study.heads[0], metric.name)
    for own in [each for each in answers if each.pair is MAIN_PAIR and each.pretrained]:
        sides = {"resnet": MAIN_PAIR.resnet, "convnext": MAIN_PAIR.convnext}
        if own.left_out and own.test is None:
            yield say(
                "{dataset}: not answered; {count} categories were left out ({reasons}).",
                dataset=own.dataset,
                count=sum(own.left_out.values()),
                reasons="; ".join(own.left_out),
            )
        elif own.test is None:
            yield say(
                "Not answered: no category has both `{resnet}` and `{convnext}`, pretrained.",
                **sides,
            )
        elif own.deviations:
            yield say(
                "{dataset}: withheld because of runs that cannot rank ({reasons}).",
                dataset=own.dataset,
                reasons="; ".join(own.deviations),
            )
        else:
            yield say(
                "{dataset}: {verdict}; `{convnext}` minus `{resnet}` is {difference} points of "
                "{metric} over {count} categories.",
                dataset=own.dataset,
                verdict=own.text,
                difference=points(own.test.difference),
                metric=metric.heading,
                count=own.test.difference.n,
                **sides,
            )


def report(study: Study, runs: ComparableRuns) -> Iterator[str]:
    """Yield the study's answers, the main question first, for each of its heads."""
    metric = study.ranking_metric.name
    answers = [v for head in study.heads for v in verdicts(runs, head, metric)]
    yield f"#### {say('Verdict: ResNet against ConvNeXt')}"
    if any(answer.dataset for answer in answers):
        yield from verdict_table(answers)
    else:
        yield say(
            "These runs do not address the study's question. It compares `{resnet}` with "
            "`{convnext}`, pretrained, on at least {least} categories of one "
            'dataset: `pytest bench -k "(rd_resnet50 or rd_convnext_adapted) and pretrained" '
            "--recipes same`.",
            resnet=MAIN_PAIR.resnet,
            convnext=MAIN_PAIR.convnext,
            least=fewest_pairs(),
        )


def verdicts(
    runs: ComparableRuns, head: str = "single_scale", metric: str = "image_auroc"
) -> list[TeacherVerdict]:
    """Return the verdict of every pair and dataset with records, at least the main pair's.

    Args:
        runs: Records of one profile and class of environment.
        head: Scoring head.
        metric: Metric of that head; higher is better.
    """
    found = _by_variant(runs.records, f"{head}.{metric}")
    answers = []
    for pair in PAIRS:
        sides = [found.get(name, {}) for name in (pair.resnet, pair.convnext)]
        answers += [
            _verdict(pair, axis, head, metric, *(side[axis] for side in sides))
            for axis in sorted(sides[0].keys() & sides[1].keys())
        ]
    if not any(answer.pair is MAIN_PAIR for answer in answers):
        answers.insert(0, _verdict(MAIN_PAIR, ("", "pretrained", "default"), head, metric, {}, {}))
    # The main question first; of each, pretrained before scratch.
    return sorted(answers, key=lambda v: (PAIRS.index(v.pair), not v.pretrained, v.dataset))


Axis = tuple[str, str, str]
"""Dataset, initialization and augmentation."""


def _by_variant(
    records: Sequence[Record], column: str
) -> dict[str, dict[Axis, dict[str, list[Record]]]]:
    """Return the records with a value by variant, axis and ``dataset.category``."""
    found: dict[str, dict[Axis, dict[str, list[Record]]]] = {}
    for line in lines_of(records):
        value = line.get(column)
        if value is not None and value == value:
            axis = line["dataset"], line["init"], line["augmentation"]
            cells = found.setdefault(line["variant"], {}).setdefault(axis, {})
            cells.setdefault(f"{axis[0]}.{line['category']}", []).append(line["record"])
    return found


def conclude(test: PairedTest | None, left_out: Mapping[str, int]) -> str:
    """Return the verdict in words; "no difference shown" does not mean that there is none."""
    if test is None and left_out:
        return say("not tested (every category was left out)")
    if test is None:
        return say("not tested (no category that both sides have)")
    n, p = test.difference.n, test.p
    if p is None:
        return say(
            "not tested (n = {n}, at least {least} categories needed)", n=n, least=fewest_pairs()
        )
    if p >= SIGNIFICANCE:
        return say("no difference shown")
    return say("ConvNeXt ahead" if test.difference.mean > 0 else "ResNet ahead")


def _values(records: Sequence[Record], head: str, metric: str) -> list[float]:
    values = (record.metrics.get(head, {}).get(metric) for record in records)
    return [value for value in values if value is not None]


def _verdict(
    pair: TeacherPair,
    axis: Axis,
    head: str,
    metric: str,
    resnet: Mapping[str, list[Record]],
    convnext: Mapping[str, list[Record]],
) -> TeacherVerdict:
    untuned = [name for name in pair.models if pair.chosen_on and not MODELS[name].tuned]
    categories, left_out = ((), {}) if untuned else _comparable(pair, resnet, convnext)
    cells = [
        [_values(side[data], head, metric) for side in (resnet, convnext)] for data in categories
    ]
    means = [(fmean(first), fmean(second)) for first, second in cells]
    test = paired_test(*zip(*means, strict=True)) if means else None
    groups = [values for cell in cells for values in cell]
    counts = [len(values) for values in groups] or [0]
    deviating = deviations(
        record for side in (resnet, convnext) for data in categories for record in side[data]
    )
    if untuned:
        text = say("withheld (not tuned: {names})", names=", ".join(untuned))
    elif deviating:
        text = say("withheld ({reasons})", reasons="; ".join(deviating))
    else:
        text = conclude(test, left_out)
    dataset, init, augmentation = axis
    return TeacherVerdict(
        pair,
        dataset,
        init == "pretrained",
        augmentation,
        head,
        metric,
        categories=categories,
        test=test,
        seed_sd=pooled_sd(groups),
        seeds=(min(counts), max(counts)),
        left_out=left_out,
        deviations=deviating,
        text=text,
    )


def _comparable(
    pair: TeacherPair, resnet: Mapping[str, list[Record]], convnext: Mapping[str, list[Record]]
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
    # One recipe per side over all categories: the one that most of them were run under.
    categories = recipes.pop(max(recipes, key=lambda key: (len(recipes[key]), key)))
    if others := sum(map(len, recipes.values())):
        left_out[say("run under another recipe than most")] += others
    return tuple(categories), dict(left_out)


def _incomparable(pair: TeacherPair, first: Record, second: Record) -> str | None:
    """Return why a category's two sides cannot be compared, or None."""
    if first.case.dataset == pair.chosen_on:
        return say("the tuned constants were chosen on {dataset}", dataset=pair.chosen_on)
    if first.key.data != second.key.data:
        return say("the sides saw different images")
    recipes = [recipe_constants(side.protocol["recipe"], Recipe) for side in (first, second)]
    if pair.same_recipe and recipes[0] != recipes[1]:
        return say("the sides ran under different recipes")
    if budget_fields(first.protocol) != budget_fields(second.protocol):
        return say("the sides ran under different budgets")
    return None


def verdict_table(answers: Sequence[TeacherVerdict]) -> Iterator[str]:
    """Yield a table of verdicts, what was left out, and how to read it."""
    lines = list(map(_line, answers))
    yield table(list(map(say, _HEADINGS)), lines, words=(0, 1, 2, 3, 4, 10))
    if any(EMPTY in line for line in lines):
        yield say(
            "Empty cells: Dataset if no dataset has both sides, the difference if no category "
            "counts, p with fewer than {least} categories, Seed sd without a second seed.",
            least=fewest_pairs(),
        )
    notes = _left_out_notes(answers)
    if notes:
        yield "\n".join(notes)
    yield say(
        "Difference: ConvNeXt minus ResNet, mean over the categories of one dataset [95 % CI over "
        "categories]; seeds are averaged within each category first. p: two-sided sign-flip test "
        "over categories, exact for up to {limit} of them; fewer than {least} "
        "cannot reach p < {significance:.2f}. No correction for the number of rows: the first row "
        "is the study's question. Seed sd: standard deviation between seeds of one configuration "
        "and category, in points; the test does not use it.",
        limit=EXACT_LIMIT,
        least=fewest_pairs(),
        significance=SIGNIFICANCE,
    )


def _left_out_notes(answers: Iterable[TeacherVerdict]) -> list[str]:
    """Return how many categories each comparison left out and why, as items of a list."""
    notes = (
        "- "
        + say(
            "{resnet} / {convnext}, {dataset}, {head}: categories left out: {count} ({reason})",
            resnet=verdict.pair.resnet,
            convnext=verdict.pair.convnext,
            dataset=verdict.dataset,
            head=verdict.head,
            count=count,
            reason=reason,
        )
        for verdict in answers
        for reason, count in sorted(verdict.left_out.items())
    )
    return list(dict.fromkeys(notes))


def _line(verdict: TeacherVerdict) -> list[str]:
    main = verdict.pair is MAIN_PAIR
    test = verdict.test
    return [
        bold(say(verdict.pair.question)) if main else say(verdict.pair.question),
        f"{verdict.pair.resnet} / {verdict.pair.convnext}",
        verdict.dataset or EMPTY,
        "pretrained" if verdict.pretrained else "scratch",
        verdict.head,
        str(len(verdict.categories)),
        points(test.difference) if test else EMPTY,
        EMPTY if test is None or test.p is None else p_text(test.p).removeprefix("= "),
        EMPTY if verdict.seed_sd is None else f"{100 * verdict.seed_sd:.2f}",
        "–".join(str(count) for count in sorted(set(verdict.seeds))),
        bold(verdict.text) if main else verdict.text,
    ]
