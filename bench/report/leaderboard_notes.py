"""Notes of the leaderboard: where its values come from and what is missing."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bench.aggregate.conditions import budget_share
from bench.aggregate.frame import ComparableRuns, newest_runs
from bench.aggregate.language import say
from bench.aggregate.markdown import percent
from bench.protocol import PROFILES
from bench.record import Record
from bench.recorded_protocol import recorded_shape
from bench.studies import STUDIES
from bench.study import Study, has_randomness, task_of
from models.catalog import MODELS

_OLDER = "the interpolated 95th percentile, which lets more normal images through"

_IDS_SHOWN = 3
_REASON_LENGTH = 200


def provenance(runs: ComparableRuns) -> str:
    """Return how a section's values were obtained."""
    records = runs.records
    indices = sorted({record.case.replicate for record in records})
    actual = sorted({record.seed for record in records if record.seed is not None})
    lines = [
        "- "
        + say(
            "Runs: {count}, replicates {replicates} (seeds {seeds})",
            count=len(records),
            replicates=_ranges(indices),
            seeds=_ranges(actual),
        ),
        f"- {say('Protocol')}: {_protocol(records)}",
        *_thresholds([record for record in records if task_of(record) == "anomaly"]),
        f"- {say('Class of machine')}: {runs.environment}",
        f"- {say('Environment')}: {_environment(records)}",
    ]
    if profile := PROFILES.get(runs.profile):
        lines.insert(0, f"- {say('Profile')}: {say(profile.describe())}")
    if runs.superseded:
        lines.append(
            "- "
            + say(
                "Left out: {count} other runs of the same configurations under another recipe, "
                "data or weights",
                count=runs.superseded,
            )
        )
    return "\n".join(lines)


def kind_of_runs(runs: ComparableRuns) -> str:
    """Return a sentence or two about what the runs of a section can and cannot show."""
    records = runs.records
    shares = [share for r in records if (share := budget_share(r)) is not None]
    replicates = {record.case.replicate for record in records}
    limits = []
    if scratch := sum(not r.case.pretrained and _has_weights(r) for r in records):
        limits.append(
            say(
                "{count} of {all} runs start from random weights",
                count=scratch,
                all=len(records),
            )
        )
    if longest := max((share for share in shares if share > 1), default=None):
        limits.append(
            say(
                "{count} of {all} runs had more than their training budget (up to {most})",
                count=sum(share > 1 for share in shares),
                all=len(records),
                most=percent(longest),
            )
        )
    if short := [share for share in shares if share < 1]:
        least = percent(min(short))
        limits.append(
            say(
                "{count} of {all} runs had part of their training budget (as little as {least})",
                count=len(short),
                all=len(records),
                least=least,
            )
        )
    if len(replicates) == 1 and any(has_randomness(r.case) for r in records):
        limits.append(say("one replicate each"))
    if runs.profile == "smoke":
        opening = say(
            "A smoke run shows in minutes that everything works; it does not measure a model"
        )
        return f"{opening}: {', '.join(limits)}." if limits else f"{opening}."
    if unknown := len(records) - len(shares):
        limits.append(
            say(
                "{count} of {all} runs did not record their budget", count=unknown, all=len(records)
            )
        )
    if limits:
        return say("Read with care: {limits}.", limits=", ".join(limits))
    return say("Every run had its whole budget.")


def _has_weights(record: Record) -> bool:
    entry = MODELS.get(record.case.model)
    return entry is not None and entry.weights is not None


def interval_width(study: Study, records: Sequence[Record]) -> Iterator[str]:
    """Yield how far off a run's ranking metric may be because there are few test images."""
    metric = study.ranking_metric
    widths = []
    for record in records:
        of_head = record.intervals.get(study.heads_of(record)[0], {})
        low, high = of_head.get(metric.name, [None, None])
        if low is not None and high is not None:
            widths.append(metric.scale * (high - low) / 2)
    if widths:
        span = "–".join(sorted({f"{width(widths):.2f}" for width in (min, max)}, key=float))
        yield say(
            "Another sample of test images could change the {metric} of a run by about ± {span} "
            "points (half of its 95 % interval over images). Ranks account for this; the ± "
            "values in the tables do not.",
            metric=metric.heading,
            span=span,
        )


def without_study(records: Iterable[Record]) -> Iterator[str]:
    """Yield the finished cases that no registered study selects and hence no table shows."""
    models = Counter(
        record.case.model
        for record in records
        if record.status == "ok" and not any(s.shows(record) for s in STUDIES.values())
    )
    if models:
        names = ", ".join(f"`{name}` ({count})" for name, count in sorted(models.items()))
        yield f"## {say('In no table')}"
        yield say(
            "The runs of these models are kept, but no study that was loaded selects them. Run the "
            "command again with `--plugin` and the file that registers the models: {names}.",
            names=names,
        )


def unfinished(records: Sequence[Record], machines: Mapping[str, str]) -> Iterator[str]:
    """Yield the cases whose newest run on a machine failed, and those that were only ever skipped.

    Args:
        records: Every record.
        machines: Short name of each class of environment; lines name theirs if there are several.
    """
    finished = {
        (record.key.profile, record.key.id, environment)
        for record in records
        if record.status == "ok"
        for environment in (record.environment.get("class"), "")  # there, and anywhere
    }
    reasons: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (profile, case_id, environment), record in sorted(newest_runs(records).items()):
        skipped = record.status == "skipped" and (profile, case_id, "") not in finished
        if record.status == "failed" or skipped:
            stale = (profile, case_id, environment) in finished
            note = f" ({say('values above: an earlier run')})" if stale else ""
            kind = f"{say(record.status)}, {record.outcome}"
            machine = machines.get(environment, "") if len(machines) > 1 else ""
            where = ", ".join(filter(None, (f"{say('profile')} `{profile}`", machine)))
            reasons[where, kind, _reason(record)].append(f"`{case_id}`{note}")
    if reasons:
        count = sum(map(len, reasons.values()))
        yield f"## {say('Not finished: {count}', count=count)}"
        yield "\n".join(
            f"- {len(ids)} {kind} ({where}): {reason} {_some(ids)}"
            for (where, kind, reason), ids in reasons.items()
        )


def _reason(record: Record) -> str:
    message = " ".join((record.error or {}).get("message", say("no reason was recorded")).split())
    if len(message) > _REASON_LENGTH:
        message = message[:_REASON_LENGTH].rstrip() + " …"
    return message


def _some(ids: Sequence[str]) -> str:
    hidden = len(ids) - _IDS_SHOWN
    more = " " + say("and {count} more", count=hidden) if hidden > 0 else ""
    return ", ".join(ids[:_IDS_SHOWN]) + more


def _protocol(records: Sequence[Record]) -> str:
    budget = _distinct(_budget(record.protocol) for record in records)
    shapes = {recorded_shape(record.protocol)[1] for record in records}
    plain = {shape for shape in shapes if shape.endswith(" px")}
    squares = [f"{_distinct(shape.removesuffix(' px') for shape in plain)} px"] if plain else []
    sizes = " / ".join([*squares, *sorted(shapes - plain)])
    precision = _distinct(_value(record.protocol, "precision") for record in records)
    return f"{sizes}; {budget}; {say('training in {precision}', precision=precision)}"


def _budget(protocol: dict[str, Any]) -> str:
    if protocol.get("recipe", {}).get("optimizer") == "none":
        return say("one pass")
    if images := protocol.get("images_seen"):
        return say("{images} images seen", images=f"{images:,}")
    recipe = protocol.get("recipe", {})
    if images := recipe.get("images"):  # few-shot batches are smaller, and their steps as many
        return say("{steps} steps", steps=f"{math.ceil(images / recipe['batch_size']):,}")
    epochs = recipe.get("epochs")
    return say("{epochs} epochs", epochs=epochs) if epochs else say("budget not recorded")


def _value(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "unrecorded")
    known = name.endswith("_bytes") and isinstance(value, int)
    return f"{value / 2**30:.0f} GiB" if known else str(value)


def _thresholds(records: Sequence[Record]) -> list[str]:
    """Return where the thresholds of anomaly detection come from; other tasks have none."""
    if not records:
        return []
    held_out = [record for record in records if record.protocol.get("calibration")]
    if not held_out:
        text = say("this protocol fits on every normal image, so calibrated columns are empty")
    else:
        rules = Counter(str(r.fingerprints.get("calibrated_by", _OLDER)) for r in held_out)
        which = "; ".join(
            say(rule) if len(rules) == 1 else say("{rule} (runs: {n})", rule=say(rule), n=count)
            for rule, count in sorted(rules.items())
        )
        where = say("a held-out 10 % of the normal training images, never used to fit")
        if len(held_out) < len(records):
            where = say("held-out normal images if the protocol leaves some, else empty")
        text = say("calibrated on {where}: {which}", where=where, which=which)
    return [f"- {say('Thresholds')}: {text}"]


def _environment(records: Sequence[Record]) -> str:
    names = sorted({name for record in records for name in record.environment} - {"class"})
    parts = []
    for name in names:
        values = _distinct(_value(record.environment, name) for record in records)
        parts.append(f"{name.removesuffix('_bytes')} {values}")
    return "; ".join(parts) or say("not recorded")


def _distinct(values: Iterable[str]) -> str:
    return " / ".join(sorted(set(values)))


def _ranges(numbers: Sequence[int]) -> str:
    """Return ``0–2, 5`` for the sorted integers 0, 1, 2 and 5."""
    # Consecutive numbers have the same difference from their position.
    groups = groupby(enumerate(numbers), lambda item: item[1] - item[0])
    runs = [[number for _, number in group] for _, group in groups]
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(texts) or "unrecorded"
