"""Every command and code block of the guides works as it stands, with small budgets."""

import json
import shlex
import sys
import tomllib
from pathlib import Path

import guides
import matplotlib.backends.backend_agg  # noqa: F401
import pytest
import timm
import torch
from PIL import Image

import bench
import bench.__main__ as command_line
import bench.interface
from bench.interface import defaults
from datasets_lib.surface import COUNTS, generate
from models.catalog import MODELS

RUN = ("data list", "data where")
"""Commands that are run; others are only parsed: they download, take long or need records."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with whatever the guides name."""
    return tmp_path_factory.mktemp("guides") / "DATA"


@pytest.fixture
def place(data, write_category, monkeypatch):
    """The folder that ``DATA`` and ``WEIGHTS`` are relative to, which is the current one."""
    if not data.exists():
        for dataset, categories in {
            "mvtec": ("bottle", "wood", "grid"),
            "mvtec_style": ("magnetic_tile",),
            "dataset_A": ("pattern1", "pattern2"),
            "dataset_B": ("pattern1", "pattern2"),
        }.items():
            for category in categories:
                write_category(data / dataset / category, train=8, good=3, spots=3)
        whole = write_category(data.parent / "whole", train=20, good=1, spots=4)
        (data / "parts").mkdir()
        (whole / "train" / "good").rename(data / "parts" / "normal")
        (whole / "test" / "spot").rename(data / "parts" / "abnormal")
        (data.parent / "WEIGHTS").mkdir()
    monkeypatch.chdir(data.parent)
    monkeypatch.setenv("PROVING_GROUND_DATA", str(data))
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(data.parent / "cache"))
    return data.parent


def test_every_line_of_a_terminal_block_is_a_command_or_a_path():
    for guide in guides.GUIDES:
        for block in guides.blocks(guide, ""):
            for line in filter(None, block.splitlines()):
                known = line.startswith(("uv run ", "uv sync ", "pip ", "tar ", "DATA/"))
                assert known, f"{guide}: {line}"


@pytest.mark.parametrize("guide", guides.GUIDES)
def test_every_session_of_a_guide_finds_cases(guide, place, run_session, session_options):
    for words in guides.commands(guide):
        if "pytest" not in words or "bench" not in words:
            continue
        arguments = words[words.index("bench") + 1 :]
        listed = [word for word in arguments if word not in ("--collect-only", "-q")]
        result = run_session(*session_options, *listed, "--collect-only", "-q")
        assert result.ret == 0, (words, result.outlines[-5:], result.errlines)
        assert any("test_case[" in line for line in result.outlines), words


@pytest.mark.parametrize("guide", guides.GUIDES)
def test_every_other_command_of_a_guide_is_one(guide, place, root, monkeypatch, capsys):
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"]
    for words in guides.commands(guide):
        if "--extra" in words:
            assert words[words.index("--extra") + 1] in extras, words
        if "-m" not in words or words[words.index("-m") + 1] != "bench":
            continue
        arguments = words[words.index("bench") + 1 :]
        with monkeypatch.context() as patch:
            if not " ".join(arguments).startswith(RUN):
                patch.setattr(command_line, "_run", lambda options: 0)
            try:
                code = command_line.main(arguments)
            except SystemExit as ended:
                code = ended.code
        assert code == 0, (words, capsys.readouterr())


@pytest.fixture
def weights(place):
    """A folder with random weights in a file named like ResNet18's pretrained ones."""
    folder = place / "WEIGHTS"
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18").state_dict(), folder / "resnet18.pth")
    yield folder
    (folder / "resnet18.pth").unlink()


@pytest.mark.slow
def test_a_newcomers_three_commands_work_one_after_the_other(
    place, weights, run_session, session_options, monkeypatch, capsys, tmp_path
):
    """A model, a picture and an ONNX file from the user's own folder of images."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    block = next(each for each in guides.blocks("README.md", "") if "--save-models" in each)
    assert block in guides.blocks("README.ko.md", "")
    train, predict, export = map(shlex.split, block.splitlines())
    options = [*session_options, "--weights-dir", str(weights), "--no-measurements"]
    monkeypatch.chdir(tmp_path)  # for results
    (tmp_path / "DATA").symlink_to(place / "DATA")
    result = run_session(*options, *train[train.index("bench") + 1 :])
    assert result.ret == 0, (result.outlines, result.errlines)
    checkpoint = Path(said(result.outlines, "checkpoint"))
    assert checkpoint.is_file()
    assert checkpoint.is_relative_to(tmp_path / "results")
    # Both commands are also printed with the model's path, ready to copy.
    relative = str(checkpoint.relative_to(tmp_path))
    copied = [shlex.split(line) for line in result.outlines if line.startswith("next")]
    assert [words[words.index("bench") + 1 :][:2] for words in copied] == [
        ["predict", relative],
        ["export", relative],
    ]

    capsys.readouterr()
    assert command_line.main(predict[predict.index("bench") + 1 :]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 4
    assert all(line["regions"] for line in lines if line["label"] == "defective")
    assert "export" in err
    for line in lines:
        name = Path(line["image"]).stem
        with Image.open(tmp_path / "maps" / f"{name}_overlay.png") as overlay:
            assert overlay.size == (48, 48)

    assert command_line.main(export[export.index("bench") + 1 :]) == 0
    written = Path(capsys.readouterr().out.splitlines()[0])
    assert written == checkpoint.with_suffix(".onnx").relative_to(tmp_path)
    images = str(tmp_path / "DATA" / "parts" / "abnormal")
    assert command_line.main(["predict", str(written), images]) == 0
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = [line["score"] for line in lines]
    assert [line["score"] for line in again] == pytest.approx(scores, rel=1e-4)


def said(lines, word):
    """Return the rest of the summary line that starts with a word."""
    (line,) = [line for line in lines if line.startswith(f"{word} ")]
    return line.removeprefix(word).strip()


def test_every_model_of_the_catalog_is_in_its_guide(root):
    text = (root / "models" / "README.md").read_text()
    for entry in MODELS.values():
        parts = entry.name.split("_")
        stems = ["_".join(parts[:end]) for end in range(len(parts), 0, -1)]
        assert any(f"`{stem}" in text for stem in stems), entry.name


@pytest.fixture
def small(monkeypatch):
    """Give trainings a small budget, models small backbones, and `surface` few images."""
    monkeypatch.setattr(defaults, "_current", defaults.Globals())
    few = {folder: count // 4 for folder, count in COUNTS.items()}
    monkeypatch.setattr(generate, "COUNTS", few)
    smaller = {"stfpm": "stfpm_resnet18", "padim": "padim_resnet18"}

    def wrapped(function, names=smaller, **budget):
        def call(*arguments, **options):
            def own(value):
                if isinstance(value, list):
                    return [own(each) for each in value]
                return names.get(value, value) if isinstance(value, str) else value

            options = {name: own(value) for name, value in options.items()}
            options |= {"num_epochs": 1}  # one-pass models leave it out
            return function(*map(own, arguments), **(options | budget))

        return call

    def use(names=smaller, **budget):
        budget = {"profile": "smoke", "device": "cpu", "img_size": 64} | budget
        budget |= {"measurements": False, "panels": False}
        for name in ("train", "train_models"):
            function = getattr(bench.interface, name)
            monkeypatch.setattr(bench.interface, name, wrapped(function, names, **budget))

    yield use
    bench.clear_memory()


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide",
    # The first README's only block runs below.
    [guide for guide in guides.GUIDES[1:] if guides.blocks(guide, "python")],
)
def test_every_block_of_python_runs(guide, place, small):
    small(pretrained=False)
    names = {}  # a reader runs one block after the other
    for block in guides.blocks(guide, "python"):
        exec(compile(block, guide, "exec"), names)


EXAMPLES = {
    "surface": {"mvtec": "surface", "bottle": "woven", "wood": "brushed", "grid": "printed"},
    "mvtec_style": {
        "mvtec": "mvtec_style",
        "bottle": "magnetic_tile",
        "wood": "magnetic_tile_uneven",
        "grid": "magnetic_tile_uneven",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", EXAMPLES)
def test_the_specifications_examples_run_on_real_names(dataset, place, small, request):
    """The first block of the README is the specification's."""
    names = {**EXAMPLES[dataset], "stfpm": "stfpm_resnet18", "padim": "padim_resnet18"}
    # The smallest of its kind, and a model without a teacher that must be made first.
    names |= {"dinomaly-base-224": "dinomaly_deit_tiny", "efficientad-small": "autoencoder"}
    budget = {"pretrained": False}
    (block,) = guides.blocks("README.md", "python")
    if dataset == "mvtec_style":
        folder = request.getfixturevalue("real_data")
        own, weights = "DATA", str(folder / "weights")
        block = block.replace('dataset_dir="DATA"', f'dataset_dir=["{folder}", "{own}"]')
        block = block.replace('backbone_dir="WEIGHTS"', f'backbone_dir="{weights}"')
        (place / "DATA" / "mvtec_style").rename(place / "aside")
        budget = {}
    small(names, **budget)
    try:
        exec(compile(block, "README.md", "exec"), {})
    finally:
        if (place / "aside").exists():
            (place / "aside").rename(place / "DATA" / "mvtec_style")
    folders = sorted(file.parent.name for file in (place / "outputs" / dataset).rglob("model_*"))
    assert "stfpm_resnet18" in {name.removesuffix("-scratch") for name in folders}
    assert sys.modules["bench"].get_globals().seed == 42
