"""Study 2's tables as Markdown: experiments, hypotheses, gains, and the original's beside them."""

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
    """H1 to H3 in sentences made from the numbers, and the numbers."""
    both = hypotheses(*pair)
    answers: list[Answer] = []
    sentences = []
    for one in both:
        if cells := cell_answers(one, outcomes):
            sentences.append(f"- {conclude(f'{one.name}, {one.text}', cells)}")
            answers += cells
    if changes := change_answers(both, outcomes):
        text = "H3, pretraining does not change H1 and H2"
        sentences.append(f"- {conclude(text, changes)}")
        answers += changes
    if not answers:
        return
    yield "\n".join(sentences)
    headings = ["Hypothesis", "Dataset", "Start", "Difference, points", "Seeds", "Verdict"]
    yield table(headings, [_answer(answer) for answer in answers], words=(0, 1, 2, 5))


def gains_table(outcomes: Outcomes) -> Iterator[str]:
    """Pretrained against scratch by dataset, model and augmentation."""
    lines = [
        [
            gain.point.dataset,
            gain.point.model,
            gain.point.augmentation,
            f"{100 * gain.scratch:.2f}",
            f"{100 * gain.pretrained:.2f}",
            *_contrast(gain.found),
            gain.verdict,
        ]
        for gain in pretraining_gains(outcomes)
    ]
    headings = ["Dataset", "Model", "Augmentation", "Scratch", "Pretrained"]
    if lines:
        headings += ["Gain, points", "Seeds", "Verdict"]
        yield table(headings, lines, words=(0, 1, 2, 7))


def best_table(outcomes: Outcomes) -> str:
    """The best combination of each dataset and its lead over the next."""
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
    headings = ["Dataset", "Best combination", "Top-1 Acc", "Next", "Lead, points", "Seeds"]
    return table([*headings, "Verdict"], lines, words=(0, 1, 3, 6))


def replication_table(found: Replication) -> Iterator[str]:
    """Ours beside the original's, both after the last epoch."""
    recipes = [
        recipe for recipe in CANDIDATES if any(recipe in one.ours for one in found.comparisons)
    ]
    yield _closest_recipe(found, recipes)
    lines = []
    for one in found.comparisons:
        place = one.experiment.point
        band = {None: EMPTY, True: "yes", False: "no"}[one.within]
        lines.append(
            [
                one.experiment.name,
                place.model,
                place.augmentation,
                place.init,
                f"{one.original:.2f}",
                *(f"{one.ours[recipe]:.2f}" if recipe in one.ours else EMPTY for recipe in recipes),
                EMPTY if one.difference is None else signed(one.difference),
                "original collapsed" if one.collapsed else band,
            ]
        )
    headings = ["Experiment", "Model", "Augmentation", "Start", "Original"]
    headings += [f"Ours, `{recipe}`" for recipe in recipes]
    headings += [f"Difference, `{found.closest_recipe}`", f"Within ±{TOLERANCE_POINTS:.0f} points"]
    yield table(headings, lines, words=(0, 1, 2, 3, len(headings) - 1))
    judged = [one for one in found.comparisons if one.within is not None]
    inside = sum(bool(one.within) for one in judged)
    yield f"Within the band: {inside} of {len(judged)} experiments judged."


def original_table(dataset: str) -> Iterator[str]:
    """The original's own table of a dataset, and what its numbers say against themselves."""
    shown = [one for point, one in experiments().items() if point.dataset == dataset]
    lines = [
        [
            one.name,
            one.point.dataset,
            one.point.model,
            one.point.augmentation,
            str(one.point.pretrained),
            *(
                f"{100 * value:.2f}"
                for value in (one.top1, one.top5, one.recall, one.precision, one.f1, one.last_top1)
            ),
            f"{one.best_epoch} of {one.epochs}",
        ]
        for one in shown
    ]
    headings = [*_AXES, "Top-1 Acc", "Top-5 Acc", "Recall", "Precision", "F1-score"]
    headings += ["Top-1 after the last epoch", "Best epoch"]
    yield table(headings, lines, words=range(len(_AXES)))
    if notes := [note for one in shown for note in _oddities(one)]:
        yield "\n".join(notes)


def _oddities(one: Experiment) -> Iterator[str]:
    if one.misprinted:
        yield (
            f"- {one.name}: recall {100 * one.recall:.2f} against top-1 {100 * one.top1:.2f}. On a "
            "class-balanced test set the two are equal, so one of them is a misprint."
        )
    if one.point in collapsed_experiments():
        yield (
            f"- {one.name} collapsed: best in epoch {one.best_epoch} of {one.epochs} with "
            f"{100 * one.top1:.2f}, {100 * one.last_top1:.2f} after the last."
        )


def _closest_recipe(found: Replication, recipes: Sequence[str]) -> str:
    if len(recipes) == 1:
        return f"Only the `{recipes[0]}` recipe ran, so whether another is nearer is not known."
    if not found.distances:
        return (
            f"No experiment has both recipes, so which is nearer is not known: `{found.closest_recipe}` "
            "is judged."
        )
    apart = ", ".join(f"`{recipe}` {found.distances[recipe]:.2f}" for recipe in recipes)
    noun = "experiment" if found.counted == 1 else "experiments"
    return (
        f"Nearer to the original: `{found.closest_recipe}` (mean absolute difference in points over "
        f"{found.counted} {noun}: {apart}). The band is judged against it alone."
    )


def _answer(answer: Answer) -> list[str]:
    notes = []
    if answer.found and answer.found.collapsed:
        notes.append(f"rests on collapsed {', '.join(answer.found.collapsed)}")
    if answer.flips:
        notes.append("the sign flips")
    verdict = "; ".join([answer.verdict, *notes])
    return [answer.hypothesis, answer.dataset, answer.start, *_contrast(answer.found), verdict]


def _contrast(found: Contrast | None) -> list[str]:
    return [EMPTY, EMPTY] if found is None else [str(found), str(found.seeds)]


def _order(row: Row, order: Mapping[Point, int]) -> tuple[str, int, str]:
    point = point_of(row.records[0])
    return point.dataset, order.get(point, len(order)), f"{row.case.variant} {point}"
