"""Every example of CONTRIBUTING.md, saved and run as a reader would, to leaderboard rows."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas
import pytest
from PIL import Image

from bench.store import Store

NAMES = ("mean_color", "mean_feature", "flat_names", "blur", "margin", "padim_or_dfm")


@pytest.fixture(scope="module")
def examples(root, tmp_path_factory):
    """Save the examples under the names that the text gives them; return their folder."""
    text = (root / "CONTRIBUTING.md").read_text()
    found = re.findall(r"`(\w+)\.py`[^`]*?```python\n(.*?)```", text, re.S)
    assert [name for name, _ in found] == list(NAMES)
    folder = tmp_path_factory.mktemp("examples")
    for name, source in found:
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
def run(root, examples, tmp_path_factory, generated_once):
    """Run a session with every example loaded; return its output and its results folder."""
    home = tmp_path_factory.mktemp("home")
    generated_once(home / "cache")
    plugins = [part for name in NAMES for part in ("--plugin", str(examples / f"{name}.py"))]
    rng = np.random.default_rng(3)
    data = home / "data" / "flat_names"
    data.mkdir(parents=True)
    for number in range(18):
        Image.fromarray(rng.integers(90, 110, (32, 32, 3), np.uint8)).save(
            data / f"normal_{number:02}.png"
        )
        if number < 6:
            scratched = rng.integers(90, 110, (32, 32, 3), np.uint8)
            scratched[10:14, 4:28] = 250
            Image.fromarray(scratched).save(data / f"scratch_{number}.png")

    def session(*options):
        command = [sys.executable, "-m", "pytest", "bench", "-p", "no:cacheprovider", *plugins]
        command += ["--device", "cpu", "--precision", "float32", "--data-dir", str(home / "data")]
        command += ["--results-dir", str(home / "results"), "--cache-dir", str(home / "cache")]
        command += ["--image-size", "64", "--images-seen", "64", "--no-pictures"]
        command += ["--measure-seconds", "2", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        result = subprocess.run(
            command, cwd=root, capture_output=True, text=True, env=environment, timeout=300
        )
        return result, home / "results"

    return session


@pytest.fixture(scope="module")
def results(run):
    """The records and the leaderboard after running the examples' cases from random weights."""
    chosen = "(mean_color or mean_feature or padim_resnet18) and (woven or flat_names) and scratch"
    done, folder = run("-k", chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pandas.read_csv(folder / "LEADERBOARD.csv")
    return Store(folder / "runs").records(), table


@pytest.mark.parametrize("model", ["mean_color", "mean_feature"])
@pytest.mark.parametrize("dataset", ["surface", "flat_names"])
def test_example_model_fills_a_row_of_the_leaderboard(results, model, dataset):
    _, table = results
    rows = table[(table.model == model) & (table.dataset == dataset)]
    assert len(rows) >= 1
    assert rows.image_auroc.between(0, 1).all()


def test_example_model_finds_the_scratches_of_the_example_dataset(results):
    records, _ = results
    (record,) = [
        r for r in records if (r.case.model, r.case.dataset) == ("mean_color", "flat_names")
    ]
    assert record.fingerprints["images"]["test"] == 12
    assert record.metrics["score"]["image_auroc"] == 1.0


def test_example_metric_is_in_every_record_and_a_column(results):
    records, table = results
    assert all("margin" in metrics for r in records for metrics in r.metrics.values())
    assert table.margin.notna().any()


def test_example_study_shares_a_case_that_ran_once(results):
    records, table = results
    ids = [record.key.id for record in records]
    assert len(ids) == len(set(ids))
    assert "padim_resnet18-surface.woven-default-scratch-s0" in ids
    rows = table[(table.model == "padim_resnet18") & (table.dataset == "surface")]
    assert {"padim_or_dfm", "anomaly_zoo"} <= set(rows.study)


def test_example_augmentation_trains_a_case(run):
    done, folder = run("--augmentations", "blur", "-k", "mean_color and woven")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(r.case.augmentation == "blur" for r in Store(folder / "runs").records())


def test_undeclared_head_fails_before_training(run, examples):
    source = (examples / "mean_color.py").read_text()
    file = examples / "wrong_head.py"
    file.write_text(source.replace("mean_color", "wrong_head").replace('"score":', '"plain":'))
    done, folder = run("--plugin", str(file), "-k", "wrong_head and woven")
    assert done.returncode == 1
    assert "ModelContractError" in done.stdout
    (record,) = [r for r in Store(folder / "runs").records() if r.case.model == "wrong_head"]
    assert (record.outcome, record.curve) == ("crash", [])
    assert "plain" in record.error["message"]


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        (None, "found none"),
        pytest.param("import no_such_module", "no_such_module", marks=pytest.mark.slow),
        pytest.param("x = (", "SyntaxError", marks=pytest.mark.slow),
    ],
)
def test_unusable_plugin_is_a_usage_error(run, tmp_path, text, keyword):
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    done, _ = run("--plugin", str(file), "--collect-only")
    assert done.returncode == 4
    assert keyword in done.stderr + done.stdout
