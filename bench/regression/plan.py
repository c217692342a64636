"""Plan what a night runs, why, for how long and in which order."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from bench.case import Case
from bench.finished import Finished
from bench.record import Record
from bench.regression.baselines import MAIN, Baselines
from bench.regression.dataset_means import parts_of
from bench.regression.earlier_runs import EarlierRuns
from bench.regression.ledger import Alarm
from bench.regression.missing import missing_quantities
from bench.regression.screen import CANARIES
from bench.run.inputs import Finder
from bench.run.job import CaseSkipped, Job, RecipeError, WeightsError
from datasets_lib.layouts.category import DatasetError

Reason = Literal["finished", "canary", "stale", "new", "rotation"]

_DAY = 86400.0
_SHOWN = 20

LACKING = "their data are missing (python -m bench data list says how to get them)"
"""Why cases do not run if their data are not on this machine."""

UNUSABLE = (DatasetError, RecipeError, WeightsError)
"""Errors of cases whose data, weights or recipe are there but cannot be used."""

UNCONFIRMED = frozenset({"suspect", "invalid"})
"""Outcomes of runs whose loss was neither confirmed nor ruled out: the next night tries again."""

_ORDER: tuple[Reason, ...] = ("finished", "canary", "stale", "new", "rotation")


@dataclass(frozen=True)
class NightOptions:
    """Options of a night.

    Attributes:
        budget_s: Seconds for the cases; None for no limit. Canaries always run; confirmations are
            not included.
        canaries: Number of unchanged cases that show whether the machine changed.
        rotation: Number of nights within which every unchanged case runs once; 0 for never.
        baseline: Name of the baseline.
        busy: Whether to use speeds that were measured while others used the machine.
    """

    budget_s: float | None = None
    canaries: int = CANARIES
    rotation: int = 30
    baseline: str = MAIN
    busy: bool = False


@dataclass(frozen=True)
class Planned:
    """A case that a night runs.

    Attributes:
        case: The case.
        reason: ``stale`` (its code, machine or options changed, or its last run was inconclusive),
            ``new`` (never finished), ``canary`` (unchanged, shows whether the machine changed),
            ``rotation`` (unchanged, its turn has come) or ``finished`` (a session ran it, it was
            accepted, or its last comparison confirmed nothing: it is compared but does not run).
        why: The reason in words, with the file that changed.
        seconds: Expected duration.
        information: Expected information from its run, in the same unit for all.
        record: End time of the record that is compared instead of a run; empty if the case runs.
        guessed: Whether the duration is a guess, because the model never finished here under the
            session's profile.
    """

    case: Case
    reason: Reason
    why: str
    seconds: float
    information: float
    record: str = ""
    guessed: bool = False

    @property
    def rank(self) -> tuple[int, float]:
        """Return its sort key: cases that cost nothing, canaries, then changed cases.

        Within each, the most information per second comes first.
        """
        return _ORDER.index(self.reason), -self.information / max(self.seconds, 0.1)


@dataclass
class Plan:
    """What runs and what does not.

    Attributes:
        planned: Cases that run, in order.
        over_budget: Cases that do not run because of the budget.
        unchanged: Number of finished cases that are unchanged and do not run.
        skipped: Number of cases that cannot run, by reason.
        problems: Cases whose data, weights or recipe cannot be used, with the reason.
        lost: Cases that finished here before and cannot run now.
    """

    planned: list[Planned] = field(default_factory=list)
    over_budget: list[Planned] = field(default_factory=list)
    unchanged: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    @property
    def is_blocked(self) -> bool:
        """Return whether cases were selected and none of them can run or is known to be fine."""
        kept = self.planned or self.unchanged
        return not kept and bool(self.skipped or self.problems or self.over_budget)

    def what_runs(self) -> str:
        """Return how many cases run and for how long, as far as that is known."""
        running = [one for one in self.planned if not one.record]
        known = [one.seconds for one in running if not one.guessed]
        unknown = len(running) - len(known)
        text = f"{cases_text(len(running))} would run"
        if known:
            text += f", {len(known)} of them" if unknown else ","
            text += f" in about {sum(known):.0f} s"
        if unknown:
            models = "this model has" if unknown == 1 else "these models have"
            text += f"; how long {'the rest takes ' if known else ''}is unknown"
            text += f" ({models} never finished here under this profile)"
        return text

    def not_run(self) -> Iterator[str]:
        """Yield lines on what does not run, and why."""
        if self.unchanged:
            yield f"{cases_text(self.unchanged)}: nothing changed, so nothing can have regressed"
        if self.over_budget:
            more = sum(one.seconds for one in self.over_budget)
            beyond = cases_text(len(self.over_budget))
            guesses = sum(one.guessed for one in self.over_budget)
            guess = f" ({guesses} of these times are guesses)" if guesses else ""
            yield f"{beyond}: beyond --budget, which would have to be {more:.0f} s larger{guess}"
        for reason, count in self.skipped.items():
            yield f"{cases_text(count)}: {reason}"
        for case, problem in list(self.problems.items())[:_SHOWN]:
            yield f"`{case}`: {problem}"
        if len(self.problems) > _SHOWN:
            yield f"… and {len(self.problems) - _SHOWN} more"


def cases_text(count: int) -> str:
    """Return a number of cases in words.

    >>> cases_text(1), cases_text(2)
    ('1 case', '2 cases')
    """
    return f"{count} case{'' if count == 1 else 's'}"


def make_plan(
    cases: Sequence[Case],
    finder: Finder,
    finished: Finished,
    baselines: Baselines,
    options: NightOptions,
    *,
    alarms: Iterable[Alarm] = (),
    now: datetime | None = None,
) -> Plan:
    """Return the plan of a night.

    Args:
        cases: The candidate cases.
        finder: Finds their inputs.
        finished: Finished records.
        baselines: Runs that tonight's are compared with.
        options: Options of the night.
        alarms: Open alarms.
        now: Time of the plan.
    """
    now = now or datetime.now(UTC)
    plan = Plan()
    wanted: list[Planned] = []
    unchanged: list[tuple[Case, Record]] = []
    earlier = EarlierRuns(finished, finder.settings.profile)
    known = {run.series.configuration for run in baselines.runs}
    worse = _worse(alarms, baselines, known)
    ran = {record.key.id for record in finished.records()}
    present = [case for case in cases if finder.has_data(case)]
    plan.lost = sorted(ran & {case.id for case in cases} - {case.id for case in present})
    for case in present:
        job = _job(case, finder, plan)
        if job is None:
            plan.lost += [case.id] if case.id in ran else []
            continue
        one = _planned(job, finished, baselines, earlier, worse, case.configuration in known)
        if isinstance(one, Planned):
            wanted.append(one)
        else:
            unchanged.append((case, one))
    chosen = _canaries(unchanged, earlier, options.canaries)
    rest = [(case, record) for case, record in unchanged if case not in {p.case for p in chosen}]
    turns = _rotation(rest, earlier, options.rotation, now)
    plan.unchanged = len(rest) - len(turns)
    _fit(plan, sorted([*chosen, *wanted, *turns], key=lambda one: one.rank), options.budget_s)
    if lacking := len(cases) - len(present):
        plan.skipped[LACKING] = lacking
    return plan


def _planned(
    job: Job,
    finished: Finished,
    baselines: Baselines,
    earlier: EarlierRuns,
    worse: Mapping[str, str],
    is_known: bool,
) -> Planned | Record:
    """Return why a case runs or is compared, or its last record if nothing of it changed.

    Args:
        job: The case's job.
        finished: Finished records.
        baselines: Runs that tonight's are compared with.
        earlier: Facts from earlier runs.
        worse: Newest code with a loss by configuration with an open alarm.
        is_known: Whether its configuration has runs in the baseline.
    """
    record, why = finished.look_up(job)
    if record is None or why is not None:
        return _unfinished(job, record, why, earlier, is_known)
    if worse.get(job.case.configuration, job.code.hash) != job.code.hash:
        why = "its alarm is open, and its code has changed since"
        return Planned(job.case, "stale", why, earlier.seconds(job.case, record), 1.0)
    return _finished(job.case, record, baselines, earlier, is_known) or record


def _worse(alarms: Iterable[Alarm], baselines: Baselines, known: set[str]) -> dict[str, str]:
    """Return the newest code with a loss by configuration; a mean's loss is in all of its parts."""
    worse = {
        name: alarm.code
        for alarm in alarms
        for name in (alarm.configuration, *parts_of(alarm.configuration, known))
    }
    for run in baselines.runs:
        if run.outcome == "regressed" and run.series.configuration in worse:
            worse[run.series.configuration] = run.code
    return {name: code for name, code in worse.items() if code}


def _finished(
    case: Case, record: Record, baselines: Baselines, earlier: EarlierRuns, is_known: bool
) -> Planned | None:
    """Return a finished, unchanged case that has an open question; None if it has none.

    Args:
        case: The case.
        record: Its last record.
        baselines: Runs that tonight's are compared with.
        earlier: Facts from earlier runs.
        is_known: Whether its configuration has runs in the baseline.
    """
    segment = baselines.segment(case.configuration)
    mine = [run for run in segment if run.case == case.id]
    same = [run for run in mine if run.finished == record.finished]
    why = f"a session ran it at {record.finished}: it is compared, and not run again"
    if not same:
        if is_known and not segment:
            why = f"accepted: its baseline begins with the run of {record.finished}"
        return Planned(case, "finished", why, 0.0, 1.0, record.finished)
    newest = same[-1]
    alike = [
        run
        for run in mine
        if (run.series, run.code, run.outcome) == (newest.series, newest.code, newest.outcome)
    ]
    window = baselines.window(newest.series)
    if newest.outcome == "invalid" and (missing := missing_quantities(window, [record])):
        alike = [run for run in alike if not missing.keys() <= run.values.keys()]
        why = "it was not measured when it last ran: it runs once more"
    elif newest.outcome in UNCONFIRMED:
        why = "it was suspect and could not be confirmed: it is compared again, and not run again"
        return Planned(case, "finished", why, 0.0, 1.0, record.finished)
    elif newest.outcome == "env-shift":
        why = "the machine or its libraries had changed when it last ran: it runs once more"
    else:
        return None
    if len({run.finished for run in alike}) > 1:
        return None  # it ran once more, and another run would say the same every night
    return Planned(case, "stale", why, earlier.seconds(case, record), 1.0)


def _unfinished(
    job: Job, record: Record | None, why: str | None, earlier: EarlierRuns, is_known: bool
) -> Planned:
    """Return a case without a record of the present code, machine and options.

    Args:
        job: The case's job.
        record: Its last record, made under other ones; None without any.
        why: Why this record does not count; None without a record.
        earlier: Facts from earlier runs.
        is_known: Whether its configuration has runs in the baseline.
    """
    changed = earlier.other_key(job) if record is None else ""
    reason: Reason = "stale" if record is not None or changed else "new"
    information = 1.0 if is_known else 0.3  # a first run begins a baseline
    return Planned(
        job.case,
        reason,
        why or changed or "never finished",
        earlier.seconds(job.case, record),
        information,
        guessed=record is None and not earlier.knows(job.case),
    )


def _job(case: Case, finder: Finder, plan: Plan) -> Job | None:
    try:
        return finder.job(case)
    except CaseSkipped as skip:
        reason = f"{skip.missing} not found" if skip.missing else str(skip)
        if skip.missing.startswith("weights"):
            reason += " (name their folder with --weights-dir)"
        plan.skipped[reason] = plan.skipped.get(reason, 0) + 1
    except UNUSABLE as error:
        plan.problems[case.id] = str(error)
    return None


def _canaries(
    unchanged: Sequence[tuple[Case, Record]], earlier: EarlierRuns, count: int
) -> list[Planned]:
    """Return the cheapest unchanged cases, of different models as far as possible."""
    ordered = sorted(unchanged, key=lambda pair: (earlier.seconds(*pair), pair[0].id))
    models: set[str] = set()
    first: list[tuple[Case, Record]] = []
    for case, record in ordered:
        if case.model not in models:
            models.add(case.model)
            first.append((case, record))
    rest = [pair for pair in ordered if pair not in first]
    why = "unchanged: shows whether the machine changed"
    return [
        Planned(case, "canary", why, earlier.seconds(case, record), 1.0)
        for case, record in [*first, *rest][:count]
    ]


def _rotation(
    unchanged: Sequence[tuple[Case, Record]], earlier: EarlierRuns, nights: int, now: datetime
) -> list[Planned]:
    """Return the share of unchanged cases whose turn it is: those that ran longest ago."""
    if not nights or not unchanged:
        return []
    count = math.ceil(len(unchanged) / nights)
    # The hash spreads cases that ran in one night over later nights.
    ordered = sorted(unchanged, key=lambda pair: (pair[1].finished[:10], _spread(pair[0])))
    turns = []
    for case, record in ordered[:count]:
        age = _days(record.finished, now)
        why = f"unchanged: its turn to run again, after {age:.0f} days"
        turns.append(
            Planned(case, "rotation", why, earlier.seconds(case, record), 0.01 * (1 + age))
        )
    return turns


def _spread(case: Case) -> str:
    return hashlib.sha256(case.id.encode()).hexdigest()


def _days(finished: str, now: datetime) -> float:
    try:
        return max(0.0, (now - datetime.fromisoformat(finished)).total_seconds() / _DAY)
    except (TypeError, ValueError):
        return 0.0


def _fit(plan: Plan, ordered: Sequence[Planned], budget_s: float | None) -> None:
    """Split cases into those that fit in the budget and the rest."""
    spent = 0.0
    for one in ordered:
        fits = budget_s is None or spent + one.seconds <= budget_s
        if fits or one.reason == "canary":
            spent += one.seconds
            plan.planned.append(one)
        else:
            plan.over_budget.append(one)
