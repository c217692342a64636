"""A night on 300 cases of which five are stale, in its own process."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nights")]

CATEGORIES, SEEDS, STALE = 30, 5, 5

FINISH = """
import json, sys
from dataclasses import replace
from bench.__main__ import main
from bench.provenance.fingerprint import Fingerprint
from bench.regression.baselines import Baselines, run_of
from bench.run.inputs import Finder
from bench.selection import all_cases
from bench.settings import Settings
from bench.store import Store
from datasets_lib.discover import available_datasets
from pathlib import Path

results, stale, options, settings = json.loads(sys.argv[1])
assert main([*options, "-k", "mean_ and tiny.c00 and s0"]) == 0  # real records to copy
settings = {name: Path(v) if name.endswith("_dir") else v for name, v in settings.items()}
settings["data_dirs"] = tuple(map(Path, settings["data_dirs"]))
colored = Store(Path(results) / "runs").records()
colored = next(one for one in colored if one.case.model == "mean_color")
settings["precision"] = colored.protocol["precision"]
settings = Settings(**settings)
datasets = available_datasets(settings.data_dirs)
cases = all_cases(settings, datasets)
cases = [case for case in cases if case.dataset == "tiny" and case.model.startswith("mean_")]
finder, store = Finder(settings, datasets), Store(settings.runs_dir)
baselines = Baselines(Path(results))
real = {record.case.model: record for record in store.records()}
store.path.unlink()
baselines.path.unlink()
for case in cases:
    job, like = finder.job(case), real[case.model]
    seconds = 1.0 + case.replicate  # the first seed is the cheapest: a canary with known scores
    record = replace(like, key=job.key, case=case, seed=job.seed, timings={"train": seconds})
    record.fingerprints.update(data_sha256=job.inputs.data_hash)
    if case.model == "mean_image" and stale:
        stale -= 1
        other = Fingerprint("0123456789abcdef", dict(job.code.files) | {"models/old.py": "x"})
        store.keep_code(other)
        record = replace(record, code=record.code | {"hash": other.hash})
    else:
        store.keep_code(job.code)
    store.append(record)
    baselines.add([run_of(record)])
print(len(cases))
"""

NIGHT = """
import json, sys, time
import bench.run.inline  # whatever runs needs it
from bench.__main__ import main

spent, real = 0.0, bench.run.inline.InlineRunner.run

def timed(*arguments):
    global spent
    begin = time.process_time()
    try:
        return real(*arguments)
    finally:
        spent += time.process_time() - begin

bench.run.inline.InlineRunner.run = timed
begin = time.process_time()
code = main(json.loads(sys.argv[1]))
print("rest", time.process_time() - begin - spent, "runs", spent)
sys.exit(code)
"""


def test_what_a_night_costs_beside_its_runs(begun, tmp_path, write_category):
    data, results = tmp_path / "data", tmp_path / "results"
    for number in range(CATEGORIES):
        write_category(data / "tiny" / f"c{number:02}", train=4, good=2, spots=2)
    size = {"profile": "smoke", "device": "cpu", "image_size": 64, "images_seen": 32}
    settings = {**size, "seeds": SEEDS, "plots": False, "measurements": False}
    settings |= {"data_dirs": [str(data)], "results_dir": str(results)}
    settings |= {"cache_dir": str(tmp_path / "cache"), "weights_dirs": []}
    shared = ["--plugin", str(begun.plugin), "nightly", "--rotation", "0", "--no-pictures"]
    shared += [f"--{name.replace('_', '-')}={value}" for name, value in size.items()]
    shared += [
        f"--data-dir={data}",
        f"--results-dir={results}",
        f"--cache-dir={tmp_path / 'cache'}",
    ]
    shared += ["--no-measurements", f"--seeds={SEEDS}"]

    def python(script, argument):
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(argument)],
            cwd=begun.code,
            env=begun.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    made = python(FINISH, [str(results), STALE, shared, settings])
    assert made.split()[-1] == str(2 * CATEGORIES * SEEDS), made
    said = python(NIGHT, [*shared, "-k", "tiny and mean_"])
    ran = [line for line in said.splitlines() if line.startswith("[")]
    assert sum("(stale: " in line for line in ran) == STALE
    assert sum("(canary: " in line for line in ran) == len(ran) - STALE == 9
    assert "suspect" not in said
    page = next((results / "nightly").glob("*-2.md"), None) or next(
        (results / "nightly").glob("*.md")
    )
    assert f"{2 * CATEGORIES * SEEDS - len(ran)} cases: nothing changed" in page.read_text()
    words = said.splitlines()[-1].split()
    assert float(words[1]) < 4, said  # 1.6 to 1.7 s of CPU time beside other work
