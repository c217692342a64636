"""Study 2's tables as Markdown: experiments, hypotheses, gains, and the original's own."""

from collections.abc import Iterator, Mapping, Sequence

from bench.aggregate.markdown import EMPTY, metric_text, seeds, table
from bench.aggregate.rows import Row
from bench.metrics.catalog import Metric
from bench.studies.mixing.contrasts import Contrast, signed
from bench.studies.mixing.gains import best_combinations, pretraining_gains
from bench.studies.mixing.hypotheses import (
    Answer,
    cell_answers,
    change_answers,
    conclude,
    hypotheses,
)
from bench.studies.mixing.original import Experiment, collapsed_experiments, experiments
from bench.studies.mixing.points import HEAD, Outcomes, Point, point_of
from bench.studies.mixing.replication import CANDIDATES, TOLERANCE_POINTS, Replication

_AXES = ("Experiment", "Dataset", "Model", "Augmentation", "Pretrained")


def experiments_table(rows: Sequence[Row]) -> str:
    """Return our runs with the original's names in its order; others follow by name.

    If none of the runs is one of the original's experiments, its two columns are left out.
    """
    metrics = rows[0].study.metrics([record for row in rows for record in row.records])
    order = {point: position for position, point in enumerate(experiments())}
    lines = [_experiment(row, metrics) for row in sorted(rows, key=lambda row: _order(row, order))]
    headings = [
        *_AXES,
        *(metric.heading for metric in metrics),
        "Seeds",
        "Reference: top-1 after the last epoch",
    ]
    if all(line[0] == EMPTY for line in lines):
        own = slice(1, -1)
        return table(headings[own], [line[own] for line in lines], words=range(len(_AXES) - 1))
    return table(headings, lines, words=range(len(_AXES)))


def _experiment(row: Row, metrics: Sequence[Metric]) -> list[str]:
    point = point_of(row.records[0])
    original = experiments().get(point) if row.case.recipe in CANDIDATES else None
    return [
        original.name if original else EMPTY,
        point.dataset,
        row.case.variant,
        point.augmentation,
        str(point.pretrained),
        *(metric_text(row.metric(HEAD, m.name), m, len(row.replicates)) for m in metrics),
        seeds(len(row.replicates)),
        f"{100 * original.last_top1:.2f}" if original else EMPTY,
    ]


def hypothesis_tables(pair: Sequence[str], outcomes: Outcomes) -> Iterator[str]:
    """Yield H1 to H3 in sentences made from the numbers, and the numbers."""
    both = hypotheses(*pair)
    answers: list[Answer] = []
    sentences = []
    for hypothesis in both:
        if cells := cell_answers(hypothesis, outcomes):
            sentences.append(f"- {conclude(f'{hypothesis.name}, {hypothesis.text}', cells)}")
            answers += cells
    if changes := change_answers(both, outcomes):
        text = "H3, pretraining does not change H1 and H2"
        sentences.append(f"- {conclude(text, changes)}")
        answers += changes
    if not answers:
        return
    yield "\n".join(sentences)
    headings = ["Hypothesis", "Dataset", "Init", "Difference, points", "Seeds", "Verdict"]
    yield table(headings, [_answer(answer) for answer in answers], words=(0, 1, 2, 5))


def gains_table(outcomes: Outcomes) -> Iterator[str]:
    """Yield pretrained against scratch by dataset, model and augmentation."""
    lines = [
        [
            gain.point.dataset,
            gain.point.model,
            gain.point.augmentation,
            f"{100 * gain.scratch:.2f}",
            f"{100 * gain.pretrained:.2f}",
            *_contrast(gain.difference),
            gain.verdict,
        ]
        for gain in pretraining_gains(outcomes)
    ]
    headings = ["Dataset", "Model", "Augmentation", "Scratch", "Pretrained"]
    if lines:
        headings += ["Gain, points", "Seeds", "Verdict"]
        yield table(headings, lines, words=(0, 1, 2, 7))


def best_table(outcomes: Outcomes) -> str:
    """Return the best combination of each dataset and its lead over the next."""
    lines = [
        [
            best.point.dataset,
            str(best.point),
            f"{100 * best.top1:.2f}",
            str(best.next) if best.next else EMPTY,
            *_contrast(best.lead),
            best.verdict,
        ]
        for best in best_combinations(outcomes)
    ]
    headings = ["Dataset", "Best combination", "Top-1", "Next", "Lead, points", "Seeds"]
    return table([*headings, "Verdict"], lines, words=(0, 1, 3, 6))


def replication_table(replication: Replication) -> Iterator[str]:
    """Yield our values next to the original's, all after the last epoch."""
    comparisons = replication.comparisons
    recipes = [name for name in CANDIDATES if any(name in c.ours for c in comparisons)]
    yield _closest_recipe(replication, recipes)
    lines = []
    for comparison in comparisons:
        place = comparison.experiment.point
        within = {None: EMPTY, True: "yes", False: "no"}[comparison.within]
        lines.append(
            [
                comparison.experiment.name,
                place.model,
                place.augmentation,
                place.init,
                f"{comparison.original:.2f}",
                *(
                    f"{comparison.ours[name]:.2f}" if name in comparison.ours else EMPTY
                    for name in recipes
                ),
                EMPTY if comparison.difference is None else signed(comparison.difference),
                "original collapsed" if comparison.collapsed else within,
            ]
        )
    headings = ["Experiment", "Model", "Augmentation", "Init", "Original"]
    headings += [f"Ours, `{recipe}`" for recipe in recipes]
    headings += [
        f"Difference, `{replication.closest_recipe}`",
        f"Within ±{TOLERANCE_POINTS:.0f} points",
    ]
    yield table(headings, lines, words=(0, 1, 2, 3, len(headings) - 1))
    within_tolerance = [c.within for c in comparisons if c.within is not None]
    yield (
        f"Within ±{TOLERANCE_POINTS:.0f} points: {sum(within_tolerance)} of "
        f"{len(within_tolerance)} experiments."
    )


def original_table(dataset: str) -> Iterator[str]:
    """Yield the original's own table of a dataset, and the oddities of its numbers."""
    own = [e for point, e in experiments().items() if point.dataset == dataset]
    lines = [
        [
            experiment.name,
            experiment.point.dataset,
            experiment.point.model,
            experiment.point.augmentation,
            str(experiment.point.pretrained),
            *(
                f"{100 * value:.2f}"
                for value in (
                    *(experiment.top1, experiment.top5, experiment.recall),
                    *(experiment.precision, experiment.f1, experiment.last_top1),
                )
            ),
            f"{experiment.best_epoch} of {experiment.epochs}",
        ]
        for experiment in own
    ]
    headings = [*_AXES, "Top-1", "Top-5", "Macro recall", "Macro precision", "Macro F1"]
    headings += ["Top-1 after the last epoch", "Best epoch"]
    yield table(headings, lines, words=range(len(_AXES)))
    if notes := [note for experiment in own for note in _oddities(experiment)]:
        yield "\n".join(notes)


def _oddities(experiment: Experiment) -> Iterator[str]:
    if experiment.misprinted:
        yield (
            f"- {experiment.name}: recall {100 * experiment.recall:.2f} against top-1 "
            f"{100 * experiment.top1:.2f}. On a class-balanced test set the two are equal, so one "
            "of them is a misprint."
        )
    if experiment.point in collapsed_experiments():
        yield (
            f"- {experiment.name} collapsed: best in epoch {experiment.best_epoch} of "
            f"{experiment.epochs} with {100 * experiment.top1:.2f}, "
            f"{100 * experiment.last_top1:.2f} after the last."
        )


def _closest_recipe(replication: Replication, recipes: Sequence[str]) -> str:
    if len(recipes) == 1:
        return f"Only the `{recipes[0]}` recipe ran, so whether another is closer is not known."
    if not replication.distances:
        return (
            "No experiment has both recipes, so which is closer is not known: "
            f"`{replication.closest_recipe}` is compared."
        )
    distances = ", ".join(f"`{name}` {replication.distances[name]:.2f}" for name in recipes)
    noun = "experiment" if replication.counted == 1 else "experiments"
    return (
        f"Closer to the original: `{replication.closest_recipe}` (mean absolute difference in "
        f"points over {replication.counted} {noun}: {distances}). It alone is compared."
    )


def _answer(answer: Answer) -> list[str]:
    notes = []
    if answer.contrast and answer.contrast.collapsed:
        notes.append(f"rests on collapsed {', '.join(answer.contrast.collapsed)}")
    if answer.flips:
        notes.append("the sign flips")
    verdict = "; ".join([answer.verdict, *notes])
    return [answer.hypothesis, answer.dataset, answer.init, *_contrast(answer.contrast), verdict]


def _contrast(contrast: Contrast | None) -> list[str]:
    return [EMPTY, EMPTY] if contrast is None else [str(contrast), str(contrast.seeds)]


def _order(row: Row, order: Mapping[Point, int]) -> tuple[str, int, str]:
    point = point_of(row.records[0])
    return point.dataset, order.get(point, len(order)), f"{row.case.variant} {point}"
