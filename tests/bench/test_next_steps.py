"""Commands to copy: as this user types them, and as a shell reads them."""

import shlex

import pytest

from bench.next_steps import bench_command, export_command, extra_command, find_test_folder


def test_commands_begin_as_this_process_was_started(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    path = tmp_path / "a b" / "model.pth"
    assert bench_command("predict", path, extra="onnx") == "python -m bench predict 'a b/model.pth'"
    assert shlex.split(extra_command("onnx")) == ["pip", "install", "proving-ground[onnx]"]
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    words = shlex.split(bench_command("predict", path.parents[2] / "x", extra="onnx"))
    assert words[:5] == ["uv", "run", "--extra", "onnx", "python"]
    assert words[-1] == str(path.parents[2] / "x")
    assert extra_command("onnx") == "uv sync --inexact --extra onnx"


def test_test_images_are_found_in_usual_layouts(tmp_path):
    for folder in ("a/parts/abnormal", "b/mvtec/bottle/test", "b/other/images"):
        (tmp_path / folder).mkdir(parents=True)
    assert find_test_folder([tmp_path / "a/parts"]) == tmp_path / "a/parts/abnormal"
    roots = [tmp_path / "b/mvtec/cable", tmp_path / "b/mvtec/bottle"]
    assert find_test_folder(roots) == tmp_path / "b/mvtec/bottle/test"
    assert find_test_folder([tmp_path / "b/other"]) is None


@pytest.mark.parametrize(
    ("fit", "tiles", "ending"),
    [
        ("squash", None, "--format onnx --images FOLDER"),
        ("pad", None, "--format onnx --frames --images FOLDER"),
        ("squash", (2, 3), ""),
    ],
)
def test_an_export_is_suggested_as_it_works(tmp_path, fit, tiles, ending):
    command = export_command(tmp_path / "m.pth", "--images", "FOLDER", fit=fit, tiles=tiles)
    assert command.endswith(ending)
    assert bool(command) == bool(ending)
