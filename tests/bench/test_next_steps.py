"""Commands to copy: as this user types them, and as a shell reads them."""

import shlex

from bench.next_steps import bench_command, extra_command, find_test_folder


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
    dirs = [tmp_path / "a", tmp_path / "b"]
    assert find_test_folder(dirs, "parts", "all") == tmp_path / "a/parts/abnormal"
    assert find_test_folder(dirs, "mvtec", "bottle") == tmp_path / "b/mvtec/bottle/test"
    assert find_test_folder(dirs, "other", None) is None
