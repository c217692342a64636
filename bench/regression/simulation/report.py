"""Write what the simulation shows as a page."""

from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from bench.regression.bisection import CONFIDENCE, LEVEL_RUNS, MAX_RUNS
from bench.regression.measures import BLOCKS, DATASET_MEAN, QUALITY, Measure, describe
from bench.regression.screen import CANARIES
from bench.regression.simulation.datasets import CATEGORIES
from bench.regression.simulation.nights import TONIGHT, WINDOW
from bench.regression.simulation.searches import COMMITS, LEAD, TOUCHING
from bench.regression.simulation.validate import (
    CREEP,
    DRIFT_NIGHTS,
    MAX_FALSE,
    MEASURES,
    MIN_POWER,
    MIN_RIGHT,
    POWER_BAND,
    FamilyResult,
    Validation,
    bound,
    count_of,
    percent,
)


def report(validation: Validation, command: str) -> str:
    """Return the page, Markdown.

    Args:
        validation: What was simulated.
        command: The command that simulates it again.
    """
    opening = (
        "# The statistics of regressions, simulated",
        f"Written by `{command}`: {validation.cases:,} cases a night, {validation.nights:,} nights "
        "of each noise family, every night with new cases and baselines. Counts are of simulated "
        "nights, not of real runs.",
        _promises(validation),
    )
    sections = (_false_alarms, _means, _power, _bisection, _drift, _noise)
    return (
        "\n\n".join((*opening, *(part for write in sections for part in write(validation)))) + "\n"
    )


def _promises(validation: Validation) -> str:
    if not validation.broken:
        return "Every promise below is kept."
    lines = "\n".join(f"* {line}" for line in validation.broken)
    return f"Promises that are **not** kept:\n\n{lines}"


def _false_alarms(validation: Validation) -> Iterator[str]:
    yield "## False alarms"
    yield (
        "Nights on which nothing changed. The bound is the upper 95 % Clopper-Pearson bound of "
        f"the chance of any alarm in a night; it must be at most {percent(MAX_FALSE)}. On nights "
        "on which the canaries say that the machine changed, no speed alarms."
    )
    names = ("nights", "with an alarm", "bound", "suspects", "confirming runs a case")
    yield _table(
        ("measure", "noise", *names, "machine changed"), map(_quiet_row, validation.families)
    )
    if validation.either:
        yield (
            "Quality and speed of every case and the means of all datasets watched together. The "
            "means are drawn apart from the cases, so that their alarms fall on other nights: "
            "drawn from the same runs they would share some."
        )
        yield _table(
            ("noise", "nights", "with an alarm", "bound"),
            (
                (name, nights, alarming, percent(bound(alarming, nights)))
                for name, (alarming, nights) in validation.either.items()
            ),
        )
    counts = {measure: count_of(measure, validation.cases) for measure in MEASURES}
    yield "\n".join(_nominal(measure, count) for measure, count in counts.items())
    yield (
        "These products assume noise that is normal and independent between runs, and variances "
        "that follow their prior. The families do not, so the levels are far below what the "
        "products would need: they were tightened until the simulated bounds held."
    )


def _means(validation: Validation) -> Iterator[str]:
    yield "## Dataset means"
    unequal = next((r for r in validation.families if r.noise.spread >= 1), None)
    small = f" (`{unequal.noise.name}`: some categories vary by points)" if unequal else ""
    yield (
        f"The {validation.cases:,} cases may be categories of datasets of {CATEGORIES}. They are "
        "gated one by one, as all cases are, and the bounds above count their alarms"
        f"{small}: so the loss of a single category is seen, which the mean of its dataset hides. "
        f"The mean is gated besides, at {describe(DATASET_MEAN, DATASET_MEAN.delta)} in place of "
        f"{describe(QUALITY, QUALITY.delta)}, where its MDE is at most that. In the drops of the "
        "next section all categories of a dataset lose the same."
    )


def _quiet_row(result: FamilyResult) -> Sequence[object]:
    quiet = result.quiet
    return (
        result.measure.name,
        result.noise.name,
        quiet.nights,
        quiet.alarming,
        percent(bound(quiet.alarming, quiet.nights)),
        percent(quiet.suspects / quiet.tests),
        f"{quiet.runs / quiet.tests:.2f}",
        quiet.shifted or "–",
    )


def _nominal(measure: Measure, count: int) -> str:
    expected = count * measure.alpha_screen * measure.alpha_confirm
    return (
        f"* {measure.name}: screen at {measure.alpha_screen}, confirmation at "
        f"{measure.alpha_confirm:g}; expected false alarms a night, of {count:,}: "
        f"N·α₁·α₂ = {expected:.1g}."
    )


def _power(validation: Validation) -> Iterator[str]:
    yield "## Power"
    yield (
        "True drops of delta, in the cases whose minimum detectable effect (MDE) is at most delta, "
        "and drops of the MDE itself in all cases that have one. Where every mean of a dataset is "
        "too noisy to be gated, the power at its MDE is shown and promises nothing: with outliers, "
        "one mean of seven has a category that failed. Caught means: suspected, and passed by both "
        "blocks of fresh runs, the same night. At delta it must be at least "
        f"{MIN_POWER}, at the MDE {MIN_POWER} ± {POWER_BAND}. An MDE assumes that seeds do not "
        "pair, which no baseline tells: where they do (`paired seeds`), more than that is caught."
    )
    names = ("median MDE", "cases with MDE ≤ delta", "power at delta", "power at the MDE", "drops")
    yield _table(("measure", "noise", *names), map(_power_row, validation.families))


def _power_row(result: FamilyResult) -> Sequence[object]:
    delta, minimum = result.at_delta, result.at_minimum
    return (
        result.measure.name,
        result.noise.name,
        describe(result.measure, delta.median_minimum),
        percent(delta.tried / max(delta.cases, 1)),
        f"{delta.power:.3f}" if delta.tried else "–",
        f"{minimum.power:.3f}" if minimum.tried else "–",
        f"{delta.tried:,} and {minimum.tried:,}",
    )


def _bisection(validation: Validation) -> Iterator[str]:
    yield "## Bisection"
    yield (
        f"{COMMITS} commits; about {percent(TOUCHING)} of them touch files of the case, and one of "
        f"those is to blame. The drop is {LEAD:g} standard deviations of a run unless a line says "
        f"otherwise. A search knows neither level nor the spread: {LEVEL_RUNS} runs of either end "
        "come first, or those that confirmed the alarm, at least "
        f"{BLOCKS * QUALITY.min_runs} of either; they are not counted below. It ends when it is "
        f"{percent(CONFIDENCE)} sure of a commit after a run of it and one of the commit before "
        f"it, or after {MAX_RUNS} runs with the likeliest "
        f"one, which must be the right one in at least {percent(MIN_RIGHT)}; the flat prior, "
        "which does not know the files, promises nothing. One column counts the searches that "
        "were right and sure. Where a machine repeats a seed's run exactly on equal code, a run "
        "needs no statistics."
    )
    yield _table(
        ("search", "searches", "right", "right and sure", "mean runs", "most runs"),
        (
            (
                *(name, t.searches, percent(t.right / t.searches), percent(t.sure / t.searches)),
                *(f"{t.runs:.1f}", t.max_runs),
            )
            for name, t in validation.searches.items()
        ),
    )


def _drift(validation: Validation) -> Iterator[str]:
    if not validation.drifts:
        return
    yield "## Drift net"
    yield (
        "Speeds against a frozen baseline. Reports are suspects, never alarms; the drift is "
        f"{CREEP} standard deviations a night, over {DRIFT_NIGHTS} nights."
    )
    names = ("false reports per 1,000 series-nights", "drifts caught", "median nights until then")
    yield _table(
        ("noise", *names),
        (
            (name, f"{t.false:.2f}", percent(t.caught), f"{t.delay:.0f}")
            for name, t in validation.drifts.items()
        ),
    )


def _noise(validation: Validation) -> Iterator[str]:
    yield "## Noise"
    yield _table(
        ("name", "what it is"),
        {r.noise.name: (r.noise.name, r.noise.about) for r in validation.families}.values(),
    )
    yield "\n".join(_setting(measure) for measure in MEASURES)


def _setting(measure: Measure) -> str:
    runs = f"{measure.min_runs} to {measure.max_runs}"
    canaries = f", {CANARIES} canaries" if measure.scale == "log" else ""
    return (
        f"* {measure.name}: delta is {describe(measure, measure.delta)}; "
        f"{WINDOW[measure.name]} baseline runs, {TONIGHT[measure.name]} tonight{canaries}; "
        f"{BLOCKS} blocks of {runs} runs a side."
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return tabulate([list(row) for row in rows], headers, tablefmt="github", disable_numparse=True)
