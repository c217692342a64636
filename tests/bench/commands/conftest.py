"""Isolation of the command tests from the user's machine, and what predictions need."""

import pytest
from PIL import Image
from saved_models import gray, save_padim

from bench.__main__ import main


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Hide the user's folders, the network and CUDA."""
    for name in ("PROVING_GROUND_DATA", "PROVING_GROUND_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint, the trained model and what its scores mean."""
    path = tmp_path_factory.mktemp("saved") / "model.pth"
    return path, *save_padim(path)


@pytest.fixture
def images(tmp_path):
    """Three gray images and three with a bright square, of different sizes, in two folders."""
    for kind, spot in (("good", False), ("spot", True)):
        for number, pixels in enumerate(gray(3, seed=7, spot=spot)):
            path = tmp_path / "images" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((128, 96 + 32 * number)).save(path)
    return tmp_path / "images"


@pytest.fixture
def predict(saved, capsys):
    """Run the command with the checkpoint; return exit code, lines and messages."""

    def run(*arguments, checkpoint=saved[0]):
        try:
            code = main(["predict", str(checkpoint), *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return run
