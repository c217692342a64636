"""Quantities that the runs of a baseline have and a new run lacks."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.record import Record
from bench.regression.baselines import Run
from bench.regression.compare import Pair
from bench.regression.finding import Finding
from bench.regression.series import values_of, why_missing


def missing_findings(pair: Pair, records: Sequence[Record]) -> list[Finding]:
    """Return a finding for each quantity that tonight's records of a configuration lack.

    A case that became too slow to be measured in time would otherwise hide its loss.

    Args:
        pair: A configuration's runs and baseline.
        records: Tonight's records of the configuration.
    """
    findings = []
    for name, why in missing_quantities(pair.window, records).items():
        before = [run.values[name] for run in pair.window if name in run.values]
        base, reason, nothing = float(np.median(before)), f"no value tonight: {why}", math.nan
        findings.append(
            Finding(
                pair.series.configuration, name, "invalid", base, nothing, nothing, method=reason
            )
        )
    return findings


def missing_quantities(window: Sequence[Run], records: Sequence[Record]) -> dict[str, str]:
    """Return the quantities that most runs of a baseline have and no record has, with the reason.

    Args:
        window: Runs of the baseline.
        records: Finished records under the same conditions.
    """
    present = {name for record in records for name in values_of(record)}
    counts = Counter(name for run in window for name in run.values if name not in present)
    missing = {}
    for name in sorted(name for name, count in counts.items() if 2 * count > len(window)):
        if why := next(filter(None, (why_missing(record, name) for record in records)), ""):
            missing[name] = why
    return missing
