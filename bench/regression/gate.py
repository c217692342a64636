"""The gate of a session: a case fails if fresh runs confirm that it regressed."""

import os
from dataclasses import dataclass
from typing import Literal

from bench.provenance.commit import current_commit, short_commit
from bench.record import Record
from bench.regression.baselines import Baselines, run_of
from bench.regression.code_tree import remove_trees
from bench.regression.confirmation import ConfirmationContext
from bench.regression.journal import Night
from bench.regression.plan import Plan
from bench.regression.verdicts import Log, Verdicts, evaluate_night
from bench.run.job import now
from bench.settings import Settings

Compared = Literal["compared", "in baseline", "no baseline"]
"""Whether a record was compared, or why not: its run is part of the baseline, or there is none."""


@dataclass(frozen=True)
class GateCheck:
    """The result of a gate for one record.

    Attributes:
        compared: Whether it was compared with a baseline, or why not.
        regressions: A line per regressed quantity and what to do; empty if nothing regressed.
    """

    compared: Compared
    regressions: str


class Gate:
    """Compares records with the baseline, without adding to the baseline or the ledger.

    Args:
        settings: Options of the session.
        log: Prints a line.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        commit, moment = current_commit(), now()
        folder = settings.runs_dir / "gate" / f"{moment.replace(':', '')}-{os.getpid()}"
        self._log = log
        self._baselines = Baselines(settings.results_dir)
        # Fresh runs alternate, so a busy machine slows both sides.
        self._context = ConfirmationContext(settings, folder, folder / "trees", busy=True)
        self._night = Night(
            name="",
            path=folder / "journal.jsonl",
            started=moment,
            commit=commit.commit,
            dirty=None,  # it names no commit: uncommitted changes are what it is for
            asked="gate",
            plan=Plan(),
        )

    def close(self) -> None:
        """Remove the worktrees of the baseline's commits."""
        remove_trees(self._context.trees)

    def check(self, record: Record) -> GateCheck:
        """Compare a record with its baseline, and confirm what looks worse.

        Args:
            record: The finished record of a case.
        """
        # A finding about another seed says nothing about this one.
        self._night.forget_findings()
        verdicts = evaluate_night([record], self._night, self._baselines, self._context, self._log)
        for configuration, why in verdicts.without.items():
            self._log(
                f"{configuration} is not compared: {why}. python -m bench nightly makes baselines."
            )
        name = record.case.configuration
        regressed = [
            finding
            for finding in verdicts.findings
            if finding.outcome == "regressed" and finding.configuration == name
        ]
        lines = [finding.text() for finding in regressed]
        if base := next((finding.base_commit for finding in regressed), None):
            lines.append(
                f"git diff {short_commit(base)} shows what changed since its baseline. If it is "
                f"intended: python -m bench accept {name} --reason …"
            )
        return GateCheck(_compared(record, verdicts), "\n".join(lines))


def _compared(record: Record, verdicts: Verdicts) -> Compared:
    run = run_of(record)
    pair = next((pair for pair in verdicts.pairs if pair.series == run.series), None)
    if pair is None:
        return "no baseline"
    own = any((one.case, one.finished) == (run.case, run.finished) for one in pair.window)
    return "in baseline" if own else "compared"
