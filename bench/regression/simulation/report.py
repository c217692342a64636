"""Write what the simulation shows as a page."""

from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from bench.regression.measures import BLOCKS, Measure, describe
from bench.regression.simulation.nights import CANARIES, TONIGHT, WINDOW
from bench.regression.simulation.searches import COMMITS, ENOUGH, TOUCHING
from bench.regression.simulation.validate import (
    CREEP,
    DRIFT_NIGHTS,
    LEAST_POWER,
    LEAST_RIGHT,
    MEASURES,
    MOST_FALSE,
    POWER_BAND,
    FamilyResult,
    Validation,
    bound,
    percent,
)


def report(validation: Validation, command: str) -> str:
    """Return the page, Markdown.

    Args:
        validation: What was simulated.
        command: The command that simulates it again.
    """
    return "\n\n".join(_parts(validation, command)) + "\n"


def _parts(validation: Validation, command: str) -> Iterator[str]:
    yield "# The statistics of regressions, simulated"
    yield (
        f"Written by `{command}`: {validation.cases:,} cases a night, {validation.nights:,} nights "
        "of each noise family, every night with new cases and baselines. Counts are of simulated "
        "nights, not of real runs."
    )
    yield "\n".join(_promises(validation))
    yield "## False alarms"
    yield (
        f"Nights on which nothing changed. The bound is the upper 95 % Clopper-Pearson bound of "
        f"the chance of any alarm in a night; it must be at most {percent(MOST_FALSE)}. On nights "
        "on which the canaries say that the machine changed, no speed alarms."
    )
    yield _table(
        (
            "measure",
            "noise",
            "nights",
            "with an alarm",
            "bound",
            "suspects",
            "confirming runs a case",
            "machine changed",
        ),
        map(_false_alarms, validation.families),
    )
    if validation.either:
        yield "Quality and speed of every case watched together:"
        yield _table(
            ("noise", "nights", "with an alarm", "bound"),
            (
                (name, nights, alarming, percent(bound(alarming, nights)))
                for name, (alarming, nights) in validation.either.items()
            ),
        )
    yield "\n".join(_nominal(measure, validation.cases) for measure in MEASURES) + (
        "\n\nThese products assume normal noise, independent between runs, and variances that "
        "follow their prior. The families above do not, so the levels are far below what the "
        "products would need: they were tightened until the simulated bounds held."
    )
    yield "## Power"
    yield (
        "True drops of delta, in the cases whose minimum detectable effect (MDE) is at most delta, "
        "and drops of the MDE itself in all cases that have one. Caught means: suspected, and "
        f"passed by both blocks of fresh runs, the same night. At the MDE it must be "
        f"{LEAST_POWER} ± {POWER_BAND}."
    )
    yield _table(
        (
            "measure",
            "noise",
            "median MDE",
            "cases with MDE ≤ delta",
            "power at delta",
            "power at the MDE",
            "drops",
        ),
        map(_power, validation.families),
    )
    yield "## Bisection"
    yield (
        f"{COMMITS} commits; about {percent(TOUCHING)} of them touch files of the case, and one of "
        f"those is to blame. Right means: the right commit within {ENOUGH} runs; it must be at "
        f"least {percent(LEAST_RIGHT)} except for the flat prior, which does not know the files."
    )
    yield _table(
        ("search", "searches", "right", "mean runs", "most runs"),
        (
            (name, t.searches, percent(t.right / t.searches), f"{t.runs:.1f}", t.most)
            for name, t in validation.searches.items()
        ),
    )
    if validation.drifts:
        yield "## Drift net"
        yield (
            "Speeds against a frozen baseline. Reports are suspects, never alarms; the drift is "
            f"{CREEP} standard deviations a night, over {DRIFT_NIGHTS} nights."
        )
        yield _table(
            (
                "noise",
                "false reports per 1,000 series-nights",
                "drifts caught",
                "median nights until then",
            ),
            (
                (
                    name,
                    f"{t.false:.2f}",
                    f"{percent(t.caught)} in {t.nights} nights",
                    f"{t.delay:.0f}",
                )
                for name, t in validation.drifts.items()
            ),
        )
    yield "## Noise"
    yield _table(
        ("name", "what it is"),
        {r.noise.name: (r.noise.name, r.noise.about) for r in validation.families}.values(),
    )
    yield "\n".join(_setting(measure) for measure in MEASURES)


def _promises(validation: Validation) -> list[str]:
    if not validation.broken:
        return ["Every promise below is kept."]
    return ["Promises that are **not** kept:", "", *(f"* {line}" for line in validation.broken)]


def _false_alarms(result: FamilyResult) -> Sequence[object]:
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


def _power(result: FamilyResult) -> Sequence[object]:
    delta, minimum = result.at_delta, result.at_minimum
    return (
        result.measure.name,
        result.noise.name,
        describe(result.measure, delta.median_minimum),
        percent(delta.tried / delta.cases),
        f"{delta.power:.3f}" if delta.tried else "–",
        f"{minimum.power:.3f}",
        f"{delta.tried:,} and {minimum.tried:,}",
    )


def _nominal(measure: Measure, cases: int) -> str:
    expected = cases * measure.alpha_screen * measure.alpha_confirm
    return (
        f"* {measure.name}: screen at {measure.alpha_screen}, confirmation at "
        f"{measure.alpha_confirm:g}; expected false alarms in a night of {cases:,} cases "
        f"N·α₁·α₂ = {expected:.1g}."
    )


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
