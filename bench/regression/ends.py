"""The two ends of a bisection: runs of the good commit and of the bad one, by seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.regression.bisection import End
from bench.regression.confirmation import FIRST_REPLICATE
from bench.regression.fresh import FreshRun, kept_runs
from bench.regression.paired_scores import same_results


@dataclass(frozen=True)
class Ends:
    """Finished runs of both ends.

    Attributes:
        quantity: What got worse.
        good: Runs of the good commit by number of their seed.
        bad: Runs of the bad one.
    """

    quantity: str
    good: Mapping[int, FreshRun]
    bad: Mapping[int, FreshRun]

    @property
    def files(self) -> frozenset[str]:
        """Return the files that the case depends on at either end, as far as its runs know."""
        runs = (*self.good.values(), *self.bad.values())
        return frozenset(file for run in runs for file in run.files)

    @property
    def telling(self) -> list[int]:
        """Return the seeds whose results differ between the ends, so that a repeat tells which."""
        both = sorted(self.good.keys() & self.bad.keys())
        return [n for n in both if not same_results(self.quantity, self.good[n], self.bad[n])]

    def repeated(self, number: int, run: FreshRun) -> End:
        """Return the end whose run of the same seed a run repeats; empty for neither or both."""
        good, bad = (
            number in runs and same_results(self.quantity, runs[number], run)
            for runs in (self.good, self.bad)
        )
        if good == bad:
            return ""
        return "good" if good else "bad"


def ends_of_night(folder: Path, quantity: str, good: str, bad: str) -> Ends:
    """Return the confirming runs of a night that ran committed code of the two commits.

    Args:
        folder: Folder of the confirmation of a configuration.
        quantity: What got worse.
        good: Full hash of the good commit.
        bad: Full hash of the bad one.
    """
    runs: dict[str, dict[int, FreshRun]] = {good: {}, bad: {}}
    for run_folder in sorted(folder.glob("block*/*")):
        for run in kept_runs(run_folder):
            assert run.record is not None
            code = run.record.code
            if code.get("commit") in runs and not code.get("dirty"):
                number = run.record.case.replicate - FIRST_REPLICATE
                runs[code["commit"]][number] = run
    return Ends(quantity, runs[good], runs[bad])
