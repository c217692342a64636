"""Fingerprints of code: what changes them, what does not, and which case depends on what."""

import ast
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.case import Case
from bench.provenance import case_code as case_code_module
from bench.provenance import fingerprint as module
from bench.provenance.case_code import case_code
from bench.provenance.commit import Commit, current_commit
from bench.provenance.currency import changed_files
from bench.provenance.fingerprint import fingerprint, source_hash
from datasets_lib.entry import FOLDER_READER
from models.catalog import WEIGHTS

SOURCE = '''
"""A module."""
import math
from dataclasses import dataclass

@dataclass
class Point:
    """A point."""
    x: float
    """Its place."""

    def norm(self, *, scale=2.0):
        """Return the norm."""
        if scale > 1:
            # why
            return math.sqrt(self.x ** 2) * scale
        return 0.5
'''


def hash_of(source):
    return source_hash(ast.parse(source))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another text."""'),
        ('        """Return the norm."""\n', ""),
        ('    """Its place."""\n', ""),
        ("            # why\n", "            # because\n\n"),
        ("math.sqrt(self.x ** 2) * scale", "(\n                math.sqrt(self.x**2)*scale\n  )"),
        ("scale=2.0", "scale = 2.00"),
    ],
)
def test_comments_docstrings_and_format_change_nothing(old, new):
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) == hash_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.25"),
        ("scale > 1", "scale >= 1"),
        ("** 2) * scale", "** 2) + scale"),
        ("norm(", "length("),
        ("math.sqrt", "math.cbrt"),
        ("2.0", "2"),  # an integer where a float was
        ("import math\n", "import cmath as math\n"),
        ("@dataclass\n", "@dataclass(frozen=True)\n"),
        ("return 0.5", "return"),
    ],
)
def test_anything_else_changes_the_hash(old, new):
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) != hash_of(SOURCE)


@pytest.mark.parametrize("source", ["", "# nothing\n", '"""Text alone."""\n'])
def test_a_module_without_code_has_no_hash(source):
    assert hash_of(source) == ""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package: main imports near, near imports far; nothing imports aside."""
    folder = tmp_path / "fingerprinted"
    (folder / "deep").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "main": "from fingerprinted import near\nimport os\n",
        "near": "def f():\n    from .deep.far import g\n    return g()\n",
        "deep/__init__": "LEVEL = 1\n",
        "deep/far": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from fingerprinted import aside\ndef g(): return 1\n",
        "aside": "raise RuntimeError('never imported')\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def fresh(without=()):
        caches = (
            module._files_of,
            module._read,
            module._source_file,
            module._folder_of,
            module._imported_modules,
        )
        for cached in caches:
            cached.cache_clear()
        return fingerprint(["fingerprinted.main"], without=without)

    yield folder, fresh
    fresh()


def test_imports_are_followed_wherever_they_stand_and_nothing_is_imported(package):
    _, fresh = package
    files = fresh().files
    places = ["deep/__init__", "deep/far", "main", "near"]
    assert list(files) == [f"fingerprinted/{name}.py" for name in places]
    assert not [name for name in sys.modules if name.startswith("fingerprinted.")]


def test_a_change_far_away_changes_the_hash_and_is_named(package):
    folder, fresh = package
    before = fresh()
    far = folder / "deep" / "far.py"
    far.write_text("# a comment\n" + far.read_text())
    (folder / "aside.py").write_text("OTHER = 1\n")
    assert fresh() == before
    far.write_text(far.read_text().replace("return 1", "return 2"))
    after = fresh()
    assert after.hash != before.hash
    assert changed_files(before.files, after.files) == ["fingerprinted/deep/far.py"]


def test_left_out_modules_take_what_they_alone_import_with_them(package):
    _, fresh = package
    assert list(fresh(without=["fingerprinted.near"]).files) == ["fingerprinted/main.py"]


def test_values_count():
    first, second = (fingerprint(["models.padim"], values) for values in (1, 2))
    assert first.files == second.files
    assert first.hash != second.hash


def test_the_hash_is_the_same_in_every_process(root):
    code = "from bench.provenance.fingerprint import *; print(fingerprint(['models.cfa'], 1).hash)"
    runs = [
        subprocess.run(
            [sys.executable, *options, "-c", code], cwd=root, capture_output=True, text=True
        ).stdout
        for options in ((), ("-O",))
    ]
    assert runs == [fingerprint(["models.cfa"], 1).hash + "\n"] * 2


def files_of(model, dataset="surface", category="woven", augmentation="default"):
    case = Case(model, "baseline", dataset, category, augmentation, False, 0)
    return case_code(case, FOLDER_READER).files


@pytest.mark.parametrize("model", ["padim_resnet18", "cfa_resnet18", "rd_resnet18"])
def test_a_case_depends_on_its_own_model_and_no_other(model):
    models = {file for file in files_of(model) if file.count("/") == 1 and "models/" in file}
    own = {"padim_resnet18": {"models/padim.py"}, "cfa_resnet18": {"models/cfa.py"}}
    assert models == own.get(model, set())


def test_a_case_depends_on_what_makes_its_numbers():
    files = files_of("padim_resnet18")
    for part in (
        *("models/components/gaussian.py", "models/components/anomaly_map.py"),
        *("bench/run/training/train.py", "bench/run/predict.py", "bench/metrics/ranking.py"),
        *("datasets_lib/images/decode.py", "datasets_lib/layouts/mvtec_folders.py"),
        # Which images are fitted, calibrated, tested and held out, and under which protocol.
        *("bench/run/samples.py", "datasets_lib/layouts/split.py", "bench/run/job.py"),
        *("bench/protocol.py", "bench/changes.py", "bench/run/crop.py"),
        # How they are found, decoded, resized and cached.
        *("datasets_lib/discover.py", "datasets_lib/images/geometry.py"),
        *("datasets_lib/images/orientation.py", "datasets_lib/images/sixteen_bit.py"),
        *("datasets_lib/images/foreign.py", "datasets_lib/layouts/masks.py"),
        *("datasets_lib/cache/build.py", "datasets_lib/cache/decode_cache.py"),
        *("datasets_lib/batches/image_set.py", "datasets_lib/batches/tiles.py"),
    ):
        assert part in files
    assert not [file for file in files if "catalog" in file or "plots" in file]
    assert "bench/run/classification.py" not in files
    flipped = files_of("padim_resnet18", augmentation="flips")
    assert changed_files(files, flipped) == ["datasets_lib/augment/flips.py"]


@pytest.mark.parametrize(
    ("model", "dataset", "category"),
    [
        ("padim_resnet18", "surface", "woven"),
        ("efficientad_small", "surface", "woven"),
        ("resnet18", "digits", None),
    ],
)
def test_what_reports_plots_or_reads_commands_is_no_part_of_a_case(model, dataset, category):
    beside = (
        *("bench/aggregate", "bench/report", "bench/page", "bench/plots", "bench/commands"),
        *("bench/regression", "bench/studies", "bench/options", "bench/read_options"),
        *("bench/plugin", "bench/session", "bench/summary", "bench/progress", "bench/remedy"),
        *("bench/near_names", "bench/run/inputs", "datasets_lib/download"),
    )
    assert not [file for file in files_of(model, dataset, category) if file.startswith(beside)]


def test_the_split_of_anomaly_detection_is_no_part_of_classification():
    files = files_of("resnet18", "digits", None)
    assert "bench/run/classification.py" in files
    assert not files.keys() & {"bench/run/samples.py", "bench/run/anomaly.py"}


def test_a_plugins_file_counts(tmp_path, monkeypatch):
    (tmp_path / "plugged.py").write_text("def build(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import plugged

    assert list(fingerprint([module.module_of(plugged.build)]).files) == ["plugged.py"]


def test_modules_that_a_plugin_imports_count_unless_they_are_installed(tmp_path, monkeypatch):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "plugged_library.py").write_text("A = 1\n")
    (tmp_path / "plugged_layers.py").write_text("import json\nimport plugged_library\n")
    (tmp_path / "plugged_blocks").mkdir()
    (tmp_path / "plugged_blocks" / "conv.py").write_text("import torch\nB = 1\n")
    (tmp_path / "plugged_model.py").write_text(
        "import plugged_layers\ndef build():\n    from plugged_blocks.conv import B\n    return B\n"
    )
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)
    import plugged_model

    assert list(fingerprint([module.module_of(plugged_model.build)]).files) == [
        "plugged_blocks/conv.py",
        "plugged_layers.py",
        "plugged_model.py",
    ]


@pytest.mark.parametrize("field", ["architecture", "mean", "std"])
def test_what_weights_say_about_a_backbone_counts_without_them_too(monkeypatch, field):
    tag, entry = "resnet18.tv_in1k", WEIGHTS["resnet18.tv_in1k"]
    case = Case("padim_resnet18", "baseline", "surface", "woven", "default", False, 0)
    before = case_code(case, FOLDER_READER)
    changed = "another" if field == "architecture" else (0.1, 0.2, 0.3)
    monkeypatch.setattr(case_code_module, "WEIGHTS", {tag: replace(entry, **{field: changed})})
    assert case_code.__wrapped__(case, FOLDER_READER).values != before.values


def git(folder, *arguments):
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_named_and_changed_code_is_dirty(tmp_path):
    (tmp_path / "a.py").write_text("A = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    git(tmp_path, *identity, "commit", "-qm", "one")
    (tmp_path / "results.md").write_text("no code")
    current_commit.cache_clear()
    clean = current_commit(tmp_path)
    assert len(clean.commit) == 40
    assert clean.dirty is False
    current_commit.cache_clear()
    (tmp_path / "b.py").write_text("B = 1\n")
    assert current_commit(tmp_path) == Commit(clean.commit, dirty=True)
    inside = tmp_path / "installed"
    inside.mkdir()
    assert current_commit(inside) == Commit()  # in somebody else's repository


def test_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    current_commit.cache_clear()
    assert current_commit(tmp_path) == Commit(None, None)
    current_commit.cache_clear()
