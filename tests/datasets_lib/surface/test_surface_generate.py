"""A category on disk: whole or absent, whoever asks and whatever happens."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_lib import surface
from datasets_lib.surface import KINDS
from datasets_lib.surface import generate as module
from datasets_lib.surface.generate import MARKER, generate, is_complete
from datasets_lib.surface.render import render

FEW = {"train/good": 2, "test/good": 1, "test/stain": 1, "test/crack": 1}


@pytest.fixture
def few(monkeypatch):
    """Only a few of the images, for both modules that count them."""
    monkeypatch.setattr(module, "COUNTS", FEW)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_counts_are_those_of_an_mvtec_category():
    assert set(surface.COUNTS) == {"train/good", "test/good"} | {f"test/{kind}" for kind in KINDS}
    assert 200 <= surface.COUNTS["train/good"] <= 280
    assert 20 <= surface.COUNTS["test/good"] <= 35
    assert all(13 <= surface.COUNTS[f"test/{kind}"] <= 20 for kind in KINDS)


@pytest.mark.usefixtures("few")
def test_the_files_are_the_renders_in_mvtec_layout(tmp_path):
    folder = generate("printed", tmp_path / "new")
    assert folder == tmp_path / "new" / "printed"
    images = {f"{place}/{i:03d}.png" for place, count in FEW.items() for i in range(count)}
    masks = {"ground_truth/stain/000_mask.png", "ground_truth/crack/000_mask.png"}
    assert set(contents(folder)) == images | masks | {MARKER}
    for name in images:
        split, kind, file = name.split("/")
        with Image.open(folder / name) as image:
            assert image.mode == "RGB"
            drawn, mask = render("printed", split, kind, int(file[:3]))
            np.testing.assert_array_equal(np.asarray(image), drawn)
        if kind != "good":
            with Image.open(folder / "ground_truth" / kind / "000_mask.png") as truth:
                assert truth.mode == "L"
                np.testing.assert_array_equal(np.asarray(truth), mask * np.uint8(255))


@pytest.mark.usefixtures("few")
def test_a_complete_category_is_left_alone(tmp_path, monkeypatch):
    folder = generate("woven", tmp_path)
    monkeypatch.setattr(module, "render", None)
    assert generate("woven", tmp_path) == folder


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("damage", ["file lost", "older version"])
def test_a_damaged_category_is_written_again(tmp_path, damage):
    folder = generate("woven", tmp_path)
    before = contents(folder)
    if damage == "file lost":
        (folder / "test/good/000.png").unlink()
    else:
        (folder / MARKER).write_text("0")
        (folder / "train/good/999.png").write_bytes(b"no longer drawn")
    generate("woven", tmp_path)
    assert contents(folder) == before


@pytest.mark.usefixtures("few")
def test_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "woven").mkdir()
    (tmp_path / "woven" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="Move it away"):
        generate("woven", tmp_path)
    assert contents(tmp_path / "woven") == {"notes.txt": b"mine"}


@pytest.mark.usefixtures("few")
def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(category, split, kind, index):
        if (split, kind) == ("test", "crack"):
            raise KeyboardInterrupt
        return render(category, split, kind, index)

    with monkeypatch.context() as patch:
        patch.setattr(module, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generate("woven", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert is_complete(generate("woven", tmp_path))


def _killed(root: Path) -> None:
    module.COUNTS = FEW
    module.render = lambda *_place: os._exit(9)
    generate("woven", root)


def _asked(root: Path, barrier, answers) -> None:
    module.COUNTS = FEW
    barrier.wait(30)
    answers.put(str(generate("woven", root)))


@pytest.mark.usefixtures("few")
def test_a_killed_process_leaves_nothing_that_looks_finished(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert is_complete(generate("woven", tmp_path))


@pytest.mark.usefixtures("few")
def test_two_processes_at_once_leave_one_complete_category(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    both = [context.Process(target=_asked, args=(tmp_path, barrier, answers)) for _ in range(2)]
    for process in both:
        process.start()
    assert {answers.get(timeout=60) for _ in both} == {str(tmp_path / "woven")}
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert is_complete(tmp_path / "woven")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["woven"]


def test_an_unknown_category_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no category 'velvet'"):
        generate("velvet", tmp_path)
