"""A search refuses to start without a loss, knows exact repeats, and otherwise uses new seeds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_records import make

from bench.regression import fresh
from bench.regression import search as module
from bench.regression.bisection import Bisection, BisectionError
from bench.regression.ends import Ends, ends_of_night
from bench.regression.finding import FINISHES
from bench.regression.fresh import FreshRun
from bench.regression.measures import QUALITY, SPEED
from bench.regression.search import Search, SearchTarget
from bench.settings import Settings


def search(tmp_path, quantity, said):
    target = SearchTarget(make().case, quantity, "a" * 40, "b" * 40, fixed=True)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    return Search(target, settings, ["models/padim.py"], said.append)


def test_levels_are_said_as_they_are_recorded(tmp_path):
    said = []
    at = QUALITY.transform([0.95, 0.91])
    search(tmp_path, "score.image_auroc", said)._check_loss(*map(float, at))
    assert said == ["good aaaaaaaaaaaa  95.00 %\nbad  bbbbbbbbbbbb  91.00 %"]


def test_no_loss_is_no_search(tmp_path):
    said = []
    with pytest.raises(BisectionError, match=r"not worse at bbbbbbbbbbbb \(95\.00 %\)"):
        search(tmp_path, "score.image_auroc", said)._check_loss(
            *[float(QUALITY.transform(0.95))] * 2
        )
    # A latency is recorded in ms and compared as its inverse.
    slow, quick = (float(SPEED.transform(1 / ms)) for ms in (25.0, 20.0))
    with pytest.raises(BisectionError, match=r"\(20 ms\).*\(25 ms\)"):
        search(tmp_path, "latency_p50_ms", said)._check_loss(slow, quick)


QUANTITY, GOOD, BAD = "single_scale.image_auroc", "a" * 40, "b" * 40


def without_git(monkeypatch, commits, changed=lambda *_: [("models/padim.py",)], merges=()):
    """Let a search have these commits, and a tree be its commit."""
    monkeypatch.setattr(module, "commits_between", lambda *_: commits)
    monkeypatch.setattr(module, "merges_of_branch", lambda *_: list(merges))
    monkeypatch.setattr(module, "changed_files", changed)
    monkeypatch.setattr(module, "tree_of", lambda commit, _: commit)


def kept(folder, commit, seed, auroc, scores, dirty=False):
    """Write a run as a fresh process writes it."""
    folder.mkdir(parents=True)
    record = make(seed=seed, auroc=auroc, code={"commit": commit, "dirty": dirty})
    record.artifacts["scores"] = "scores.npz"
    np.savez(folder / "scores.npz", labels=[0, 1], **{"scores.single_scale": scores})
    (folder / "records.jsonl").write_text(record.to_json() + "\n")
    return FreshRun(record, "", folder)


def test_a_repetition_has_equal_scores_and_an_equal_value(tmp_path):
    good = kept(tmp_path / "good", GOOD, 100, 0.9, [0.25, 0.75])
    bad = kept(tmp_path / "bad", BAD, 100, 0.8, [0.5, 0.75])
    other = kept(tmp_path / "other", BAD, 101, 0.8, [0.5, 0.5])
    ends = Ends(QUANTITY, {0: good, 1: other}, {0: bad, 1: other})
    assert ends.telling == [0]  # seed 1 does not change
    assert ends.repeated(0, good) == "good"
    assert ends.repeated(0, bad) == "bad"
    assert not ends.repeated(1, other)  # it repeats both ends
    assert not ends.repeated(2, good)
    lucky = kept(tmp_path / "lucky", GOOD, 100, 0.9, [0.25, 0.5])
    mistaken = kept(tmp_path / "mistaken", GOOD, 100, 0.85, [0.25, 0.75])
    assert not ends.repeated(0, lucky)
    assert not ends.repeated(0, mistaken)
    (good.folder / "scores.npz").unlink()
    assert not ends.repeated(0, good)  # equal values alone may be coincidence


def test_the_runs_of_a_night_are_those_of_committed_code(tmp_path):
    place = tmp_path / "block0"
    kept(place / "A", GOOD, 100, 0.9, [0.25, 0.75])
    kept(place / "B", BAD, 100, 0.8, [0.5, 0.75])
    kept(tmp_path / "block1" / "B", BAD, 101, 0.8, [0.5, 0.75], dirty=True)
    kept(tmp_path / "failure100" / "B", BAD, 102, 0.8, [0.5, 0.75])
    ends = ends_of_night(tmp_path, QUANTITY, GOOD, BAD)
    assert (list(ends.good), list(ends.bad)) == ([0], [0])
    assert not ends_of_night(tmp_path / "none", QUANTITY, GOOD, BAD).good


def test_every_run_has_a_seed_of_its_own_until_one_repeats(tmp_path):
    """Otherwise all runs share the luck of one seed and agree on a wrong commit."""
    runs = [
        {
            seed: kept(tmp_path / f"{commit}{seed}", commit, 100 + seed, auroc, [auroc, seed])
            for seed in range(2)
        }
        for commit, auroc in ((GOOD, 0.9), (BAD, 0.8))
    ]
    ends = Ends(QUANTITY, *runs)
    target = SearchTarget(make().case, QUANTITY, GOOD, BAD, fixed=False)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    searching = Search(target, settings, [], print)
    search = Bisection(["c", "d", "e"], [1, 1, 1], [0.9, 0.9], [0.8, 0.8])
    numbers = []
    for commit, end in (("c", ""), ("d", ""), ("c", ""), ("d", "good"), ("c", "bad"), ("c", "")):
        numbers.append(searching._number(search, ends, commit))
        search.add(commit, 0.85, end)
    assert numbers == [0, 1, 4, 5, 5, 6]


def test_a_case_that_no_longer_finishes_is_bisected(monkeypatch, tmp_path):
    commits, said = [letter * 40 for letter in "cdefb"], []
    target = SearchTarget(make().case, FINISHES, "a" * 40, "b" * 40, fixed=True)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)

    def fresh(tree, cases, settings, folder):
        fails = tree in {"e" * 40, "f" * 40, "b" * 40}
        return [FreshRun(None if fails else make(), "it broke" if fails else "", tmp_path)]

    without_git(monkeypatch, commits)
    monkeypatch.setattr(module, "run_fresh", fresh)
    found = Search(target, settings, ["models/padim.py"], said.append).run()
    assert found.suspects == ["e" * 40]
    assert found.confidence > 0.97
    assert "good aaaaaaaaaaaa  finishes\nbad  bbbbbbbbbbbb  fails" in said


OLD, NEW, GONE = "models/old.py", "models/new.py", "models/gone.py"


@pytest.mark.parametrize(
    ("changed", "merges"),
    [
        ({"c": [(OLD,)], "e": [(OLD, NEW)]}, []),
        ({"c": [(GONE,)], "e": [(NEW,)]}, []),  # a file of the good end alone
        ({"e": [(NEW,)]}, ["e" * 40]),  # a file that nothing knows of
    ],
)
def test_a_commit_is_found_whatever_the_case_depends_on_now(monkeypatch, tmp_path, changed, merges):
    commits, said = [letter * 40 for letter in "cdeb"], []
    target = SearchTarget(make().case, QUANTITY, GOOD, BAD, fixed=True)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    asked = []

    def files_of(before, commit, *_):
        asked.append((before[0], commit[0]))
        return changed.get(commit[0], [("notes.md",)])

    def fresh(tree, cases, settings, folder):
        files = frozenset({OLD, GONE} if tree == GOOD else {NEW})
        return [FreshRun(make(auroc=0.9 if tree == GOOD else 0.8), "", folder, files)]

    without_git(monkeypatch, commits, files_of, merges)
    monkeypatch.setattr(module, "run_fresh", fresh)
    monkeypatch.setattr(module, "git", lambda *words: words[-1][:10])
    found = Search(target, settings, [NEW], said.append).run()
    assert found.suspects == [commits[0]]
    assert found.runs
    assert asked == [("a", "c"), ("c", "d"), ("d", "e"), ("e", "b")]
    assert f"4 commits, of which {len(changed)} touch files of the case" in said
    assert sum("branch" in line for line in said) == len(merges)
    answer = module.answer(found, GOOD, tmp_path)
    assert f"after {len(found.runs)} runs between the two commits" in answer
    assert changed.get("c", [("notes.md",)])[0][-1] in answer
    assert "Wanted" not in answer


def test_an_answer_that_its_prior_alone_gives_wants_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "changed_files", lambda *_: [(NEW,)])
    monkeypatch.setattr(module, "git", lambda *words: words[-1][:10])
    search = Bisection(["c", "d", "e"], [0.005, 0.99, 0.005], [0.9], [0.8], most_runs=1)
    search.add("c", 0.9)
    answer = module.answer(search, GOOD, tmp_path)
    assert "Wanted a run of d to confirm it: --runs 2 goes on from here." in answer


def test_a_fresh_run_knows_the_files_of_its_code(tmp_path):
    """Also one that did not finish."""
    lines = [
        json.dumps({"files": [OLD]}),
        make().to_json(),
        make(seed=1, status="failed").to_json(),
    ]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n")
    cases = [make().case, make(seed=1).case]
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    runs = fresh.run_fresh(None, cases, settings, tmp_path)
    assert [run.files for run in runs] == [{OLD}] * 2
    assert [run.record is None for run in runs] == [False, True]
    assert Ends(QUANTITY, {0: runs[0]}, {}).files == {OLD}
    assert [run.files for run in fresh.kept_runs(tmp_path)] == [{OLD}]


def test_a_search_has_worktrees_of_its_own_and_removes_them(monkeypatch, tmp_path):
    """Another search may end, and remove its own, while this one runs."""
    used = set()

    def tree_of(commit, folder):
        (folder / commit[:12]).mkdir(parents=True)
        used.add(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "tree_of", tree_of)
    for quantity in ("score.image_auroc", "score.pixel_auroc"):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, quantity, []).run()
    assert len(used) == 2
    assert not any(folder.exists() for folder in used)


def test_a_search_ends_after_its_runs_and_goes_on_with_more(monkeypatch, tmp_path):
    """Its state is on disk: no run of the first search is repeated by the second."""
    commits = [letter * 40 for letter in "cdefghijklmnb"]
    target = SearchTarget(make().case, QUANTITY, GOOD, BAD, fixed=False)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    ran, said, noise = {}, [], np.random.default_rng(0)

    def fresh(tree, cases, settings, folder):
        level = 0.89 if tree >= "h" * 40 or tree == BAD else 0.9
        value = level + 0.003 * float(noise.standard_normal())
        return [ran.setdefault(folder, FreshRun(make(auroc=value), "", folder))]

    without_git(monkeypatch, commits)
    monkeypatch.setattr(module, "run_fresh", fresh)
    monkeypatch.setattr(module, "git", lambda *words: words[-1][:10])

    def found(most):
        return Search(target, settings, ["models/padim.py"], said.append, most).run()

    first = found(3)
    assert len(first.runs) == 3
    assert first.confidence < 0.97
    assert "--runs 6 goes on from here" in module.answer(first, GOOD, tmp_path)
    ends, kept_runs = 2 * module.LEVEL_RUNS, list(first.runs)
    assert len(ran) == ends + 3
    second = found(40)
    assert second.runs[:3] == kept_runs
    assert len(ran) == ends + len(second.runs)
    assert second.suspects == ["h" * 40]
    assert "goes on from here" not in module.answer(second, GOOD, tmp_path)


def test_other_options_are_another_search(tmp_path):
    """Those that change no result are not: a killed search goes on."""
    target = SearchTarget(make().case, QUANTITY, GOOD, BAD, fixed=False)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)

    def folder(**changes):
        return Search(target, replace(settings, **changes), [], print)._folder

    same = {"cache_dir": tmp_path / "cache", "seeds": 3, "plots": False, "stall_timeout_s": 1.0}
    assert folder(**same) == folder()
    others = [
        {"profile": "standard"},
        {"image_size": 64},
        {"tiles": (2, 2)},
        {"changes": {"lr": 0.1}},
        {"plugins": (tmp_path / "toys.py",)},
    ]
    assert len({folder(), *(folder(**changes) for changes in others)}) == len(others) + 1


def test_a_search_with_another_profile_repeats_no_run(monkeypatch, tmp_path):
    target = SearchTarget(make().case, QUANTITY, GOOD, BAD, fixed=True)
    ran, said = [], []

    def start(tree, cases, settings, folder, answer):
        ran.append(settings.profile)
        auroc = 0.9 if tree == GOOD else 0.8
        record = make(auroc=auroc, profile=settings.profile)
        answer.write_text(record.to_json() + "\n")
        return ""

    without_git(monkeypatch, [BAD])
    monkeypatch.setattr(fresh, "_start", start)
    for profile in ("smoke", "standard", "standard"):
        settings = Settings(profile, "cpu", (tmp_path,), (), tmp_path, tmp_path)
        found = Search(target, settings, ["models/padim.py"], said.append).run()
        assert found.suspects == [BAD]
    assert ran == ["smoke"] * 2 + ["standard"] * 2
