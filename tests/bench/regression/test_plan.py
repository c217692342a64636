"""Plans of nights and what a night keeps of them, on a real dataset and real fingerprints.

No case is run.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bench.environment import environment
from bench.finished import Finished
from bench.provenance.commit import Commit
from bench.provenance.fingerprint import Fingerprint
from bench.record import Record
from bench.regression import night as night_module
from bench.regression.baselines import Acceptance, Baselines, run_of
from bench.regression.confirmation import ConfirmationContext
from bench.regression.finding import FINISHES, Finding
from bench.regression.journal import Journals, Night
from bench.regression.ledger import Alarm, Ledger
from bench.regression.night import Nightly
from bench.regression.plan import NightOptions, Plan, make_plan
from bench.regression.remember import remember
from bench.regression.verdicts import evaluate_night
from bench.run.inputs import Finder
from bench.run.job import RecipeError, now
from bench.selection import all_cases, matching
from bench.settings import Settings
from bench.store import Store
from datasets_lib.discover import available_datasets
from datasets_lib.layouts.category import DatasetError

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path, write_category, monkeypatch):
    monkeypatch.setattr(Record, "shared", False)
    write_category(tmp_path / "data" / "tiny" / "tile", train=4, good=2, spots=2)
    settings = Settings(
        profile="smoke",
        device="cpu",
        data_dirs=(tmp_path / "data",),
        weights_dirs=(),
        results_dir=tmp_path / "results",
        cache_dir=tmp_path / "cache",
        plots=False,
        measurements=False,
    )
    datasets = available_datasets(settings.data_dirs)
    words = "tiny and scratch and (padim_resnet18 or cfa_resnet18 or rd_resnet18 or stfpm_resnet18)"
    cases = matching(all_cases(settings, datasets), words)
    return Finder(settings, datasets), cases, Store(settings.runs_dir)


def finish(place, cases, seconds=10.0, compared=True, **changes):
    finder, _, store = place
    baselines = Baselines(finder.settings.results_dir)
    for case in cases:
        job = finder.job(case)
        store.keep_code(job.code)
        store.append(
            job.record(
                environment=environment("cpu"),
                timings={"train": seconds},
                finished="2026-05-01T00:00:00+00:00",
                **changes,
            )
        )
        if compared:
            baselines.add([run_of(store.records()[-1])])


def plan(place, alarms=(), **given):
    finder, cases, store = place
    options = NightOptions(**({"canaries": 0, "rotation": 0} | given))
    baselines = Baselines(finder.settings.results_dir)
    return make_plan(cases, finder, Finished(store), baselines, options, alarms=alarms, now=NOW)


def test_what_never_finished_runs_and_what_finished_does_not(place):
    cases = place[1]
    assert len(cases) == 4
    finish(place, cases[1:])
    made = plan(place)
    assert [(one.case, one.reason) for one in made.planned] == [(cases[0], "new")]
    assert made.unchanged == 3


def test_a_stale_case_names_the_file_that_changed(place):
    finder, cases, store = place
    finish(place, cases)
    padim = next(case for case in cases if case.model == "padim_resnet18")
    job = finder.job(padim)
    old = job.code.files | {"models/padim.py": "other"}
    other = Fingerprint("0123456789abcdef", old)
    store.keep_code(other)
    record = job.record(
        environment=environment("cpu"), timings={"train": 3.0}, finished="2026-05-02T00:00:00+00:00"
    )
    record.code["hash"] = other.hash
    store.path.unlink()
    finish(place, [case for case in cases if case != padim])
    store.append(record)
    (one,) = plan(place).planned
    assert (one.case, one.reason, one.seconds) == (padim, "stale", 3.0)
    assert one.why.startswith("models/padim.py changed since")


@pytest.mark.parametrize("kind", ["score.image_auroc", FINISHES, "mean"])
def test_a_reverted_change_is_run_again_while_its_alarm_is_open(place, kind):
    finder, cases, _ = place
    finish(place, cases)
    case = cases[0]
    name = (replace(case, category="mean_of_1") if kind == "mean" else case).configuration
    alarm = Alarm(name, "score.image_auroc" if kind == "mean" else kind, 0.1, code="worse")
    (one,) = plan(place, [alarm]).planned
    assert (one.case, one.reason) == (case, "stale")
    assert one.why == "its alarm is open, and its code has changed since"
    same = replace(alarm, code=finder.job(case).code.hash)
    assert plan(place, [same]).planned == []


def test_what_a_session_ran_is_compared_and_does_not_run(place):
    finish(place, place[1][:1], compared=False)
    finish(place, place[1][1:])
    (one,) = plan(place).planned
    assert (one.case, one.reason, one.seconds) == (place[1][0], "finished", 0.0)
    assert one.record == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("suspect", "finished"),
        ("invalid", "finished"),
        ("env-shift", "stale"),
        ("ok", ""),
        ("regressed", ""),
    ],
)
def test_what_could_not_be_confirmed_is_looked_at_again(place, outcome, reason):
    finder, cases, store = place
    finish(place, cases[1:])
    finish(place, cases[:1], compared=False)
    baselines = Baselines(finder.settings.results_dir)
    record = store.records()[-1]
    baselines.add([replace(run_of(record, "2026-05-01"), outcome=outcome)])
    made = plan(place)
    assert [(one.case, one.reason) for one in made.planned] == [(cases[0], reason)] * bool(reason)
    assert [one.record for one in made.planned if one.reason == "finished"] == (
        [record.finished] if reason == "finished" else []
    )
    if reason == "finished":  # compared again, and cleared
        baselines.add([replace(run_of(record, "2026-05-02"), outcome="ok")])
    else:  # ran again, with the same outcome
        store.append(again := replace(record, finished="2026-05-02T00:00:00+00:00"))
        baselines.add([replace(run_of(again, "2026-05-02"), outcome=outcome)])
    assert plan(place).planned == []


def test_what_was_not_measured_runs_once_more(place):
    """Compared again, the same record would lack the same value every night."""
    finder, cases, store = place
    finish(place, cases[1:])
    finish(place, cases[:1], compared=False)
    baselines = Baselines(finder.settings.results_dir)
    record = store.records()[-1]
    before = replace(run_of(record), code="earlier", finished="2026-04-01T00:00:00+00:00")
    baselines.add([replace(before, values={"score.image_auroc": 0.9})])
    lacking = replace(run_of(record), outcome="invalid")
    baselines.add([replace(lacking, night=f"2026-05-0{day}") for day in (1, 2)])
    (one,) = plan(place).planned
    assert (one.case, one.reason, one.record) == (cases[0], "stale", "")
    assert one.why == "it was not measured when it last ran: it runs once more"
    store.append(again := replace(record, finished="2026-05-03T00:00:00+00:00"))
    baselines.add([replace(run_of(again, "2026-05-03"), outcome="invalid")])
    assert plan(place).planned == []


def test_a_changed_recipe_is_named(place):
    finder, cases, store = place
    stfpm = next(case for case in cases if case.model == "stfpm_resnet18")
    finish(place, [case for case in cases if case != stfpm])
    job = finder.job(stfpm)
    record = job.record(environment=environment("cpu"), finished="2026-05-02T00:00:00+00:00")
    record.key = replace(record.key, recipe="another")
    record.protocol["recipe"]["lr"] = 4.0
    store.append(record)
    (one,) = plan(place).planned
    assert one.reason == "stale"
    assert "recipe changed" in one.why
    assert "lr 4.0 → 0.4" in one.why


def test_a_budget_takes_the_most_information_per_second(place):
    cases = place[1]
    finish(place, cases[:2], seconds=5.0)
    place[2].path.unlink()
    made = plan(place, budget_s=130.0)  # durations are unknown: a minute each
    assert len(made.planned) == 2
    assert len(made.over_budget) == 2
    assert [one.seconds for one in made.planned] == [60.0, 60.0]


def test_a_duration_that_nothing_tells_is_unknown(place):
    cases = place[1]
    unknown = "is unknown (these models have never finished here under this profile)"
    assert plan(place).what_runs() == f"4 cases would run; how long {unknown}"
    finish(place, cases[:1], seconds=7.0)
    made = plan(place, rotation=1)
    known = "1 of them in about 7 s; how long the rest takes"
    assert made.what_runs() == f"4 cases would run, {known} {unknown}"
    one_left = replace(made, planned=[one for one in made.planned if one.guessed][:1])
    assert one_left.what_runs().startswith("1 case would run; how long is unknown (this model has")
    assert {one.case for one in made.planned if one.guessed} == set(cases[1:])
    made = plan(place, rotation=1, budget_s=1.0)
    assert "(3 of these times are guesses)" in next(made.not_run())
    place[2].path.write_text(place[2].path.read_text().replace('"smoke"', '"standard"'))
    assert plan(place).what_runs() == f"4 cases would run; how long {unknown}"
    finish(place, cases, seconds=7.0)
    assert plan(place, rotation=1).what_runs() == "4 cases would run, in about 28 s"


def test_canaries_and_turns_are_unchanged_cases(place):
    cases = place[1]
    finish(place, cases[:2], seconds=50.0)
    finish(place, cases[2:], seconds=5.0)
    made = plan(place, canaries=1, rotation=30)
    assert [one.reason for one in made.planned] == ["canary", "rotation"]
    assert made.planned[0].seconds == 5.0
    assert "31 days" in made.planned[1].why
    assert made.unchanged == 2
    assert len(plan(place, rotation=1).planned) == 4


def test_canaries_run_whatever_the_budget(place):
    finish(place, place[1], seconds=50.0)
    made = plan(place, canaries=2, rotation=1, budget_s=1.0)
    assert [one.reason for one in made.planned] == ["canary", "canary"]
    assert len(made.over_budget) == 2


def test_an_accepted_case_begins_its_baseline_with_the_run_it_has(place, tmp_path):
    finder, cases, store = place
    finish(place, cases)
    results, name = finder.settings.results_dir, cases[0].configuration
    Baselines(results).accept(Acceptance(name, "on purpose"))
    made = plan(place)
    (one,) = made.planned
    assert (one.case, one.reason, one.seconds) == (cases[0], "finished", 0.0)
    assert one.why.startswith("accepted")
    records = [record for record in store.records() if record.case == cases[0]]
    night = Night("2026-06-01", tmp_path / "x.jsonl", "2026-06-01", None, None, "all", made)
    baselines = Baselines(results)
    context = ConfirmationContext(finder.settings, tmp_path, tmp_path)
    remember(evaluate_night(records, night, baselines, context, print), baselines, Ledger(results))
    assert [run.outcome for run in Baselines(results).segment(name)] == ["first"]
    assert plan(place).planned == []


@pytest.mark.parametrize("error", [DatasetError, RecipeError])
def test_a_case_that_cannot_run_is_named_with_the_reason(monkeypatch, place, error):
    with monkeypatch.context() as patch:
        patch.setattr(Finder, "job", raising(error))
        made = plan(place)
    assert made.planned == []
    assert made.problems == {case.id: "it is gone" for case in place[1]}
    assert made.lost == []
    finish(place, place[1][:1])
    monkeypatch.setattr(Finder, "job", raising(error))
    assert plan(place).lost == [place[1][0].id]


def raising(error):
    def job(*_):
        raise error("it is gone")

    return job


def nightly(place, said):
    finder, cases, _ = place
    options = NightOptions(canaries=0, rotation=0)
    return Nightly(finder.settings, dict(finder.datasets), cases, options, said.append)


@pytest.mark.parametrize(
    ("commit", "goes_on"),
    [
        (Commit("a" * 40, False), True),
        (Commit("a" * 40, True), False),  # edited since
        (Commit("b" * 40, False), False),
    ],
)
def test_a_killed_night_goes_on_with_the_same_code_alone(monkeypatch, place, commit, goes_on):
    said = []
    monkeypatch.setattr(night_module, "current_commit", lambda: Commit("a" * 40, False))
    begun = nightly(place, said)._night("all")
    monkeypatch.setattr(night_module, "current_commit", lambda: commit)
    again = nightly(place, said)._night("all")
    assert (again.name == begun.name) == goes_on
    assert any("resuming nightly run" in line for line in said) == goes_on


def test_a_night_takes_records_of_its_own_code_alone(place):
    """Uncommitted edits leave the commit as it is, and it is dirty before and after them."""
    finder, cases, store = place
    night = nightly(place, [])._night("all")
    job = finder.job(cases[0])
    record = job.record(environment=environment("cpu"), started=now())
    store.append(record)
    assert nightly(place, [])._night("all").name == night.name
    store.append(replace(record, code=record.code | {"hash": "other"}))
    (taken,) = nightly(place, [])._records(night).values()
    assert taken.code["hash"] == job.code.hash
    said = []
    assert nightly(place, said)._night("all").name != night.name
    assert "cannot resume: code, recipes, data, weights or options have changed" in said[0]


@pytest.mark.parametrize("part", ["", "recipe", "data", "weights"])
def test_a_killed_night_goes_on_with_the_same_recipe_data_and_weights_alone(
    monkeypatch, place, part
):
    """What was judged before says nothing about the changed case, which would run again."""
    finder, cases, store = place
    night = nightly(place, [])._night("all")
    job = finder.job(cases[0])
    store.append(job.record(environment=environment("cpu"), started=now()))
    name = cases[0].configuration
    night.add_findings(name, [Finding(name, "score.image_auroc", "suspect", 0.9, 0.8, 0.1)])
    changed = replace(job.key, **({part: "another"} if part else {}))
    same = Finder.job

    def found(self, case):
        return replace(job, key=changed) if case == cases[0] else same(self, case)

    monkeypatch.setattr(Finder, "job", found)
    again = nightly(place, [])._night("all")
    assert (again.name == night.name) == (not part)
    assert again.evaluated == (set() if part else {name})


def test_a_night_takes_no_record_of_a_session_of_another_size(place):
    finder, cases, store = place
    night = nightly(place, [])._night("all")
    job = finder.job(cases[0])
    store.append(job.record(environment=environment("cpu"), started=now()))
    smaller = Finder(replace(finder.settings, image_size=48), finder.datasets).job(cases[0])
    assert (smaller.key.id, smaller.code.hash) == (job.key.id, job.code.hash)
    store.append(smaller.record(environment=environment("cpu"), started=now()))
    (taken,) = nightly(place, [])._records(night).values()
    assert taken.key == job.key


def test_a_dataset_that_vanished_since_planning_costs_its_own_cases(monkeypatch, place):
    _, cases, store = place
    said = []
    one = nightly(place, said)
    night = one._night("all")
    job = Finder.job

    class Runner:
        def run(self, job, progress):
            return job.record(environment=environment("cpu"), started=now())

        def close(self):
            pass

    def found(self, case):
        return raising(DatasetError)() if case == cases[0] else job(self, case)

    monkeypatch.setattr(Finder, "job", found)
    monkeypatch.setattr(night_module, "runner_of", lambda _: Runner())
    one._run_cases(night)
    assert {record.case for record in store.records()} == set(cases[1:])
    monkeypatch.setattr(Finder, "job", raising(DatasetError))  # all data are gone after they ran
    assert {record.case for record in one._records(night).values()} == set(cases[1:])
    assert [line for line in said if line.endswith(f"{cases[0].id}  cannot run: it is gone")]
    assert f"`{cases[0].id}`: it is gone" in list(night.plan.not_run())


@pytest.mark.parametrize("part", ["begin", "plan", "planned", "finding"])
def test_a_journal_of_another_version_is_not_resumed(place, part):
    night = nightly(place, [])._night("all")
    name = place[1][0].configuration
    night.add_findings(name, [Finding(name, "score.image_auroc", "ok", 0.9, 0.9, 0.0)])
    begun, judged = map(json.loads, night.path.read_text().splitlines())
    places = {"begin": begun["begin"], "plan": begun["begin"]["plan"]}
    places |= {"planned": places["plan"]["planned"][0], "finding": judged["findings"][0]}
    places[part]["mood"] = "new"
    night.path.write_text("".join(f"{json.dumps(line)}\n" for line in (begun, judged)))
    assert Journals(night.path.parent).unfinished() is None
    assert nightly(place, [])._night("all").name != night.name


def test_a_night_has_another_name_than_those_of_a_shared_baseline(tmp_path):
    given = ("2026-01-02T03:00:00+00:00", "a" * 40, False, "all", Plan())
    journals = Journals(tmp_path)
    names = [journals.begin(*given, known=known).name for known in ((), {"2026-01-02-2"})]
    assert names == ["2026-01-02", "2026-01-02-3"]
