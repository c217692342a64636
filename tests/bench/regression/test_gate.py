"""A gate compares each case of a session with its baseline, and leaves no worktrees."""

from dataclasses import replace

import numpy as np
import pytest
from fake_records import make

from bench.regression import verdicts
from bench.regression.baselines import Baselines, run_of
from bench.regression.gate import Gate
from bench.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)


def test_a_gate_removes_its_worktrees(settings):
    gate = Gate(settings, print)
    gate.close()  # nothing was confirmed
    trees = gate._context.trees
    (trees / "abc" / "bench").mkdir(parents=True)
    gate.close()
    assert not trees.exists()


def test_a_gate_says_whether_there_was_something_to_compare(settings, tmp_path):
    said = []
    first, second = (make(finished=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2))
    assert Gate(settings, said.append).check(first).compared == "no baseline"
    assert "is not compared: no baseline yet" in said[0]
    Baselines(tmp_path).add([run_of(first, "2026-01-01")])
    gate = Gate(settings, said.append)
    assert [gate.check(each).compared for each in (first, second)] == ["in baseline", "compared"]
    assert len(said) == 1


def test_a_gate_judges_every_seed_by_itself(monkeypatch, settings, tmp_path):
    """A loss of speed that is cleared, or a confirmed loss of one seed, decides for no other."""

    def judged(context, cases, pair, suspects, screens):
        lost = {f: f.quantity.endswith("auroc") for f in suspects}
        return [replace(f, outcome="regressed" if bad else "ok") for f, bad in lost.items()]

    def of_seed(seed, auroc, speed, day):
        return make(
            "stfpm_resnet18",
            seed=seed,
            auroc=auroc,
            measurements={"inference_images_per_s": speed},
            finished=f"2026-01-{day:02}T00:00:00+00:00",
        )

    noise = np.random.default_rng(0)
    for day in range(1, 11):
        before = [
            of_seed(seed, 0.95 + 0.003 * noise.normal(), 100 * (1 + 0.01 * noise.normal()), day)
            for seed in range(2)
        ]
        Baselines(tmp_path).add([run_of(each, f"2026-01-{day:02}") for each in before])
    monkeypatch.setattr(verdicts, "confirm", judged)
    slower, worse = of_seed(0, 0.95, 90.0, 20), of_seed(1, 0.80, 100.0, 20)
    for order in ([slower, worse], [worse, slower]):
        gate = Gate(settings, print)
        said = {each.seed: gate.check(each).regressions for each in order}
        assert said[slower.seed] == ""
        assert "image_auroc" in said[worse.seed]
