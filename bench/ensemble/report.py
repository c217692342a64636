"""The tables of ensembles, as Markdown."""

import math
from collections.abc import Iterator, Sequence

from bench.aggregate.markdown import EMPTY, bold, table
from bench.ensemble.choose import Choice, Ensemble
from bench.ensemble.members import Member, NoMemberError
from bench.ensemble.pixels import pixel_gain
from bench.metrics.bootstrap import REPLICATES, Interval

_FEW_HELD_OUT = 20


def ensemble_report(choices: Sequence[Choice]) -> str:
    """Return a summary over all data, then the tables of each."""
    shown = sum(choice.chosen.conclusion == "gain shown" for choice in choices)
    what = "1 set of images" if len(choices) == 1 else f"{len(choices)} sets of images"
    blocks = [
        "# Ensembles",
        f"A gain over the best single model is shown on {shown} of {what}. The best single model, "
        "the candidates and the ensemble are chosen by image AUROC on one half of the test images; "
        "gains are measured on the other half, in percentage points. An ensemble's score is the "
        "mean of its members' standardized by the median and the MAD of held-out normal images; "
        "nothing is trained again. Intervals are paired 95 % intervals of "
        f"{REPLICATES:,} resamples of the images, normal and defective separately.",
        _summary(choices),
    ]
    for choice in choices:
        blocks += _section(choice)
    return "\n\n".join(blocks) + "\n"


def _summary(choices: Sequence[Choice]) -> str:
    rows = [
        [
            choice.panel.title,
            choice.best_single.name,
            _names(choice.chosen.members),
            _signed(choice.chosen.selection_gain),
            _interval(choice.chosen.gain),
            _milliseconds(choice.chosen.extra_ms, choice),
            _per_ms(choice.chosen),
            choice.chosen.conclusion,
        ]
        for choice in choices
    ]
    headers = [
        *("Images", "Best single model", "Ensemble", "Gain on the half it was chosen on"),
        *("Gain on the other half", "Extra ms", "Points per extra ms", "Conclusion"),
    ]
    return table(headers, rows, words=(0, 1, 2, 7))


def _section(choice: Choice) -> Iterator[str]:
    panel, labels = choice.panel, choice.panel.members[0].labels
    defective = labels.bool()
    halves = " and ".join(
        f"{int((rows & ~defective).sum())} normal and {int((rows & defective).sum())} defective "
        f"images to {verb}"
        for rows, verb in ((choice.half, "choose on"), (~choice.half, "report on"))
    )
    yield f"## {panel.title}"
    yield f"On {panel.environment}: {halves}.{_caution(choice)}"
    yield "### Members"
    yield _members(choice)
    yield "### The best subset of each size"
    yield _by_size(choice)
    if choice.tied > 1:
        yield (
            f"{choice.tied} subsets share the highest AUROC on the half to choose on: the smallest "
            "of them was taken, then the fastest."
        )
    yield "### Ways to combine the chosen members"
    yield _checks(choice)
    yield "### Maps"
    yield _maps(choice)
    if panel.left_out:
        yield "Left out:"
        yield "\n".join(f"* {name}: {why}" for name, why in sorted(panel.left_out.items()))


def _caution(choice: Choice) -> str:
    """Return what makes the figures weak: few held-out images, or a busy machine."""
    fewest = min(member.held_out for member in choice.panel.members)
    parts = []
    if fewest < _FEW_HELD_OUT:
        parts.append(f"Scales are based on only {fewest} held-out normal images.")
    if any(member.record.disturbed for member in choice.panel.members):
        parts.append("Times marked ~ were measured on a busy machine.")
    return "".join(f" {part}" for part in parts)


def _members(choice: Choice) -> str:
    from bench.metrics.ranking import auroc

    labels, half = choice.panel.members[0].labels, choice.half
    rows = []
    for member in choice.ranked:
        values = [auroc(member.scores[rows_], labels[rows_]) for rows_ in (half, ~half)]
        rows.append(
            [
                bold(member.name) if member in choice.chosen.members else member.name,
                member.family,
                *map(_percent, values),
                _latency(member),
                "yes" if member in choice.candidates else "",
            ]
        )
    headers = ["Model", "Family", "AUROC, chosen on", "AUROC, other half", "ms", "Candidate"]
    return table(headers, rows, words=(0, 1, 5))


def _by_size(choice: Choice) -> str:
    single = choice.best_single
    rows = [
        [
            str(len(ensemble.members)),
            bold(_names(ensemble.members)) if chosen else _names(ensemble.members),
            _percent(ensemble.selection),
            _signed(ensemble.selection_gain),
            _percent(ensemble.report),
            _interval(ensemble.gain),
            _milliseconds(ensemble.extra_ms, choice),
        ]
        for ensemble in choice.by_size
        for chosen in [ensemble is choice.chosen]
    ]
    first = choice.chosen
    base = [
        *("1", single.name, _percent(first.selection - first.selection_gain), ""),
        *(_percent(first.report - first.gain.value), "", ""),
    ]
    headers = [
        *("Size", "Members", "AUROC, chosen on", "Gain, chosen on"),
        *("AUROC, other half", "Gain, other half", "Extra ms"),
    ]
    return table(headers, [base, *rows], words=(1,))


def _checks(choice: Choice) -> str:
    rows = [[name, *map(_percent, values)] for name, values in choice.checks.items()]
    return table(["Combined by", "AUROC, chosen on", "AUROC, other half"], rows, words=(0,))


def _maps(choice: Choice) -> str:
    try:
        found = pixel_gain(choice)
    except NoMemberError as why:
        return f"No pixel metrics: {why}."
    rows = [
        [
            name,
            *map(_percent, values),
            _interval(found.gains[name]) if name in found.gains else _signed(values[1] - values[0]),
        ]
        for name, values in found.values.items()
    ]
    headers = ["On the other half", f"{found.single.name} alone", "Ensemble", "Gain"]
    about = f"{found.single.name} has the highest pixel AP of all members on the half to choose on."
    without = [f"No maps of {name}: {why}." for name, why in found.left_out.items()]
    return "\n\n".join([table(headers, rows, words=(0,)), about, *without])


def _names(members: Sequence[Member]) -> str:
    return " + ".join(member.name for member in members)


def _latency(member: Member) -> str:
    time = member.latency_ms
    mark = "~" if member.record.disturbed else ""
    return EMPTY if time is None else f"{mark}{time:.1f}"


def _milliseconds(extra: float | None, choice: Choice) -> str:
    disturbed = any(member.record.disturbed for member in choice.panel.members)
    return EMPTY if extra is None else f"{'~' if disturbed else ''}{extra:.1f}"


def _per_ms(ensemble: Ensemble) -> str:
    value = ensemble.gain_per_ms
    return EMPTY if value is None else f"{100 * value:+.3f}".replace("-", "−")


def _percent(value: float) -> str:
    return EMPTY if math.isnan(value) else f"{100 * value:.2f}"


def _signed(value: float) -> str:
    return EMPTY if math.isnan(value) else f"{100 * value:+.2f}".replace("-", "−")


def _interval(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{_signed(interval.value)} ({interval.reason})"
    return f"{_signed(interval.value)} [{_signed(interval.low)}, {_signed(interval.high)}]"
