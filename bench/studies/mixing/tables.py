"""Study 2's tables as Markdown: experiments, hypotheses, gains, and the original's own."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, metric_text, table
from bench.aggregate.rows import Row
from bench.metrics.catalog import Metric
from bench.studies.mixing.contrasts import Contrast, contrast, signed
from bench.studies.mixing.hypotheses import (
    Answer,
    cell_answers,
    change_answers,
    conclude,
    hypotheses,
    word_for,
)
from bench.studies.mixing.original import Experiment, collapsed_experiments, experiments
from bench.studies.mixing.points import HEAD, Outcomes, Point, point_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CANDIDATES = ("baseline", "flip_crop")
"""Recipes that may be the original's; they differ only in the base transform."""

TOLERANCE_POINTS = 3.0
"""Largest difference from the original that counts as a replication, in percentage points."""

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
        str(len(row.replicates)),
        f"{100 * original.last_top1:.2f}" if original else EMPTY,
    ]


def hypothesis_sentences(pair: Sequence[str], outcomes: Outcomes) -> tuple[list[str], list[Answer]]:
    """Return H1 to H3 in sentences made from the numbers, and the answers that they summarize."""
    both = hypotheses(*pair)
    answers: list[Answer] = []
    sentences = []
    for hypothesis in both:
        if cells := cell_answers(hypothesis, outcomes):
            sentences.append(conclude(hypothesis.question, cells))
            answers += cells
    if changes := change_answers(both, outcomes):
        question = say("H3. Are the differences of H1 and H2 the same with pretraining as without?")
        sentences.append(conclude(question, changes))
        answers += changes
    if answers and not any(answer.contrast for answer in answers):
        nothing = say(
            "These runs cannot answer H1 or H2 yet: each needs {first} and {second} on one "
            "dataset, with and without the augmentation.",
            first=pair[0],
            second=pair[1],
        )
        return [nothing], []
    return sentences, answers


def hypothesis_tables(pair: Sequence[str], outcomes: Outcomes) -> Iterator[str]:
    """Yield H1 to H3 in sentences, and the numbers."""
    sentences, answers = hypothesis_sentences(pair, outcomes)
    if not answers:
        yield from sentences
        return
    yield "\n".join(f"- {sentence}" for sentence in sentences)
    headings = ["Hypothesis", "Dataset", "Init", "Difference, points", "Seeds", "Verdict"]
    yield table(list(map(say, headings)), [_answer(a) for a in answers], words=(0, 1, 2, 5))


def gains_table(outcomes: Outcomes) -> Iterator[str]:
    """Yield pretrained against scratch by dataset, model and augmentation."""
    lines = []
    for point in sorted(outcomes):
        scratch = point._replace(pretrained=False)
        if not point.pretrained or scratch not in outcomes:
            continue
        gain = contrast(outcomes, {point: 1, scratch: -1})
        means = [f"{100 * outcomes[place].mean:.2f}" for place in (scratch, point)]
        verdict = say(word_for(gain, {1: "gain", -1: "loss", 0: "no gain shown"}))
        lines.append([*map(str, point[:3]), *means, *_contrast(gain), verdict])
    headings = ["Dataset", "Model", "Augmentation", "Scratch", "Pretrained"]
    if lines:
        headings += ["Gain, points", "Seeds", "Verdict"]
        yield table(headings, lines, words=(0, 1, 2, 7))


def best_table(outcomes: Outcomes) -> str:
    """Return the best combination of each dataset and its lead over the next.

    Equal means are sorted by name.
    """
    words = {1: "ahead", -1: "not shown to be ahead", 0: "not shown to be ahead"}
    lines = []
    for dataset, points in groupby(sorted(outcomes), key=lambda point: point.dataset):
        best, *others = sorted(points, key=lambda point: -outcomes[point].mean)
        lead = contrast(outcomes, {best: 1, others[0]: -1}) if others else None
        top1 = f"{100 * outcomes[best].mean:.2f}"
        following = str(others[0]) if others else EMPTY
        verdict = word_for(lead, words) if others else "nothing to compare"
        lines.append([dataset, str(best), top1, following, *_contrast(lead), say(verdict)])
    headings = ["Dataset", "Best combination", "Top-1", "Next", "Lead, points", "Seeds"]
    return table([*headings, "Verdict"], lines, words=(0, 1, 3, 6))


def replication_table(dataset: str, by_recipe: Mapping[str, Outcomes]) -> Iterator[str]:
    """Yield our values next to the original's, all after the last epoch.

    Args:
        dataset: Dataset of the original study.
        by_recipe: Outcomes by recipe; recipes that are not among `CANDIDATES` are ignored.
    """
    frame = replication(dataset, by_recipe)
    recipes = [name for name in CANDIDATES if name in frame]
    if not recipes:
        yield say("No run here has the original's number of epochs, so none is compared with it.")
        return
    counted = frame[~frame.collapsed].dropna(subset=recipes)
    distances = counted[recipes].sub(counted.original, axis=0).abs().mean()
    closest = recipes[0] if counted.empty else str(distances.idxmin())
    yield _closest_recipe(closest, distances, len(counted))
    frame["difference"] = (frame[closest] - frame.original).round(2)
    within = frame.difference.abs() <= TOLERANCE_POINTS
    comparable = ~frame.collapsed & frame.difference.notna()
    words = within.map({True: say("yes"), False: say("no")}).where(comparable, say("not run"))
    frame["within"] = words.mask(frame.collapsed, say("original collapsed"))
    shown = frame[["original", *recipes]].map(lambda v: say("not run") if v != v else f"{v:.2f}")
    shown.insert(0, "init", [point.init for point in frame.point])
    shown.insert(0, "augmentation", [point.augmentation for point in frame.point])
    shown.insert(0, "model", [point.model for point in frame.point])
    shown["difference"] = frame.difference.map(lambda v: say("not run") if v != v else signed(v))
    shown["within"] = frame["within"]
    headings = ["Experiment", "Model", "Augmentation", "Init", "Original"]
    headings += [say("Ours, `{recipe}`", recipe=recipe) for recipe in recipes]
    limit = f"±{TOLERANCE_POINTS:.0f}"
    headings.append(say("Difference, `{recipe}`", recipe=closest))
    headings.append(say("Within {limit} points", limit=limit))
    lines = [list(map(str, line)) for line in shown.itertuples()]
    yield table(headings, lines, words=(0, 1, 2, 3, len(headings) - 1))
    yield say(
        "Within {limit} points: {own} of {all} experiments.",
        limit=limit,
        own=within[comparable].sum(),
        all=comparable.sum(),
    )


def replication(dataset: str, by_recipe: Mapping[str, Outcomes]) -> "DataFrame":
    """Return the original's experiments that ran here, after the last epoch.

    The original never published its base transform, so two are run. It is compared with the
    one that is closer over all experiments of a dataset, never with the best for one experiment.

    Returns:
        Rows by experiment: ``point``, ``original`` and our mean top-1 by recipe, in percent of two
        decimals, and ``collapsed``: whether the original's run is not a target.
    """
    import pandas

    own = {e.name: point for point, e in experiments().items() if point.dataset == dataset}
    ours = {
        recipe: {
            name: round(100 * cells[point].mean, 2) for name, point in own.items() if point in cells
        }
        for recipe in CANDIDATES
        for cells in (by_recipe.get(recipe, {}),)
    }
    frame = pandas.DataFrame({"point": pandas.Series(own)})
    frame["original"] = [round(100 * experiments()[point].last_top1, 2) for point in frame.point]
    frame["collapsed"] = [point in collapsed_experiments() for point in frame.point]
    recipes = [recipe for recipe, values in ours.items() if values]
    for recipe in recipes:
        frame[recipe] = pandas.Series(ours[recipe])
    return frame.dropna(subset=recipes, how="all") if recipes else frame.iloc[:0]


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
            say("{own} of {all}", own=experiment.best_epoch, all=experiment.epochs),
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
        yield "- " + say(
            "{name}: recall {recall:.2f} against top-1 {top1:.2f}. On a class-balanced test set "
            "the two are equal, so one of them is a misprint.",
            name=experiment.name,
            recall=100 * experiment.recall,
            top1=100 * experiment.top1,
        )
    if experiment.point in collapsed_experiments():
        yield "- " + say(
            "{name} collapsed: best in epoch {epoch} of {epochs} with {top1:.2f}, {last:.2f} after "
            "the last.",
            name=experiment.name,
            epoch=experiment.best_epoch,
            epochs=experiment.epochs,
            top1=100 * experiment.top1,
            last=100 * experiment.last_top1,
        )


def _closest_recipe(closest: str, distances: "Series[float]", counted: int) -> str:
    if len(distances) == 1:
        return say(
            "Only the `{recipe}` recipe ran, so whether another is closer is not known.",
            recipe=closest,
        )
    if not counted:
        return say(
            "No experiment has both recipes, so which is closer is not known: `{recipe}` is "
            "compared.",
            recipe=closest,
        )
    texts = ", ".join(f"`{name}` {distance:.2f}" for name, distance in distances.items())
    return say(
        "Closer to the original: `{recipe}`, which alone is compared (mean absolute difference in "
        "points, experiments: {count}; {texts}).",
        recipe=closest,
        count=counted,
        texts=texts,
    )


def _answer(answer: Answer) -> list[str]:
    notes = []
    if answer.contrast and answer.contrast.collapsed:
        names = ", ".join(answer.contrast.collapsed)
        notes.append(say("rests on collapsed {names}", names=names))
    if answer.flips:
        notes.append(say("the sign flips"))
    verdict = "; ".join([say(answer.verdict), *notes])
    return [answer.hypothesis, answer.dataset, answer.init, *_contrast(answer.contrast), verdict]


def _contrast(contrast: Contrast | None) -> list[str]:
    return [EMPTY, EMPTY] if contrast is None else [str(contrast), str(contrast.seeds)]


def _order(row: Row, order: Mapping[Point, int]) -> tuple[str, int, str]:
    point = point_of(row.records[0])
    return point.dataset, order.get(point, len(order)), f"{row.case.variant} {point}"
