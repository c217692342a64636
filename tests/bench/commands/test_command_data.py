"""``python -m bench data verify`` and ``where``, and the progress line."""

import shutil
import sys

import pytest

from bench.__main__ import main
from bench.commands import output
from bench.commands.output import ProgressBar


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The test's own cache and data home, with the network but without variables or packages."""
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # hidden, even if installed
    for name in ("PROVING_GROUND_DATA", "PROVING_GROUND_WEIGHTS", "PROVING_GROUND_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def rods(tmp_path, write_category):
    """A dataset's folder as its archive holds it."""
    return write_category(tmp_path / "source" / "rods_v1" / "short", 5, 3, 3).parent


def test_verify_names_files_and_fails(rods, capsys):
    root = rods.rename(rods.with_name("rods"))
    for number in range(3):
        shutil.copy(
            root / f"short/train/good/00{number}.png", root / f"short/test/good/00{number}.png"
        )
    (root / "short/train/good/004.png").write_bytes(b"no image")
    place_option = ["--data-dir", str(root.parent)]
    assert main(["data", "verify", *place_option]) == 1
    out = capsys.readouterr().out
    assert "train/good/002.png = test/good/002.png" in out
    assert "unreadable (1):" in out
    assert "0 of 1 verify" in out
    assert main(["data", "verify", "rods.long", *place_option]) == 2
    assert "it has short" in capsys.readouterr().err


def test_verify_says_what_is_not_here(tmp_path, capsys):
    assert main(["data", "verify", "mvtec", "--data-dir", str(tmp_path)]) == 2
    assert "python -m bench data get mvtec" in capsys.readouterr().err
    assert main(["data", "verify", "surface"]) == 2
    assert "embedded" in capsys.readouterr().err


def test_verify_of_nothing_fails(tmp_path, capsys):
    assert main(["data", "verify", "--data-dir", str(tmp_path)]) == 2
    assert "no dataset was found" in capsys.readouterr().err


@pytest.mark.parametrize("names", [[], ["rods_v1"]])
def test_verify_says_when_the_data_folder_is_the_dataset(rods, capsys, names):
    assert main(["data", "verify", *names, "--data-dir", str(rods)]) == 2
    said = capsys.readouterr().err
    assert f"the dataset rods_v1 itself: name {rods.parent} with --data-dir" in said
    assert main(["data", "verify", *names, "--data-dir", str(rods / "short")]) == 2
    said = capsys.readouterr().err
    assert f"a category of rods_v1 itself: name {rods.parent} with --data-dir" in said
    assert main(["data", "verify", *names, "--data-dir", str(rods.parent)]) == 0


def test_verify_of_an_unknown_name_has_no_wrong_hint(tmp_path, write_category, capsys):
    # Folders of a data folder that could be categories: each is a dataset of its own.
    for name in ("parts", "tiles"):
        whole = write_category(tmp_path / "whole" / name, 4, 1, 2)
        (tmp_path / "data" / name).mkdir(parents=True)
        (whole / "train" / "good").rename(tmp_path / "data" / name / "normal")
        (whole / "test" / "spot").rename(tmp_path / "data" / name / "abnormal")
    place = ["--data-dir", str(tmp_path / "data")]
    for name, words in (("nosuch", "check its name"), ("prats", "did you mean parts?")):
        assert main(["data", "verify", name, *place]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "itself" not in said


@pytest.fixture
def elpv_package(tmp_path, monkeypatch):
    """A folder that is imported as the package of ELPV's images, and holds none."""
    package = tmp_path / "packages" / "elpv_dataset"
    (package / "data").mkdir(parents=True)
    for file in ("__init__.py", "data/labels.csv"):
        (package / file).touch()
    monkeypatch.delitem(sys.modules, "elpv_dataset")
    monkeypatch.syspath_prepend(package.parent)
    return package


@pytest.mark.parametrize("known", [True, False])
def test_verify_without_a_data_folder_says_that_none_was_searched(request, known, capsys):
    if known:
        request.getfixturevalue("elpv_package")
    assert main(["data", "verify", "foo"]) == 2
    found = "found only elpv (installed)" if known else "found no dataset"
    assert f"'foo', {found}; no data folder was searched: check" in capsys.readouterr().err


@pytest.mark.usefixtures("elpv_package")
def test_verify_of_a_folder_leaves_out_what_lies_elsewhere(tmp_path, home, write_category, capsys):
    write_category(tmp_path / "data" / "rods" / "short", 2, 1, 1)
    write_category(home / "mvtec" / "bottle", 2, 1, 1)
    assert main(["data", "verify", "--data-dir", str(tmp_path / "data")]) == 0
    out, err = capsys.readouterr()
    assert "1 of 1 verify" in out
    assert "in other folders (give their names to verify them): elpv, mvtec" in out
    assert [line.partition(":")[0] for line in err.splitlines()] == ["rods.short"]
    assert main(["data", "verify", "mvtec", "--data-dir", str(tmp_path / "data")]) == 1
    assert "mvtec.bottle" in capsys.readouterr().out


def test_verify_of_all_names_the_folders_that_are_no_category(rods, capsys):
    shutil.copytree(rods / "short" / "train" / "good", rods / "shrot" / "trian" / "good")
    assert main(["data", "verify", "--data-dir", str(rods.parent)]) == 0
    out = capsys.readouterr().out
    assert f"passed over {rods / 'shrot'}: " in out
    assert "1 of 1 verify" in out.splitlines()[-1]
    assert main(["data", "verify", "rods_v1", "--data-dir", str(rods.parent)]) == 0
    assert "passed over" not in capsys.readouterr().out


def test_verify_names_every_mask_that_lacks_and_is_too_many(rods, capsys):
    root = rods.rename(rods.with_name("rods"))
    truth = root / "short/ground_truth/spot"
    (truth / "001_mask.png").rename(truth / "099_mask.png")
    assert main(["data", "verify", "--data-dir", str(root.parent)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for kind, where in (
        ("defect without a mask (1):", "test/spot/001.png"),
        ("mask without an image (1):", "ground_truth/spot/099_mask.png"),
    ):
        assert lines[lines.index(f"  {kind}") + 1] == f"    {where}"


@pytest.mark.real_data
def test_verify_of_the_magnetic_tiles(real_data, capsys):
    assert main(["data", "verify", "mvtec_style", "--data-dir", str(real_data)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("mvtec_style.magnetic_tile ") and "verifies" in line for line in lines
    )
    assert "  empty mask of a defect (4):" in lines
    assert "1 of 2 verify" in lines[-1]


def test_where_names_folders_in_their_order(rods, tmp_path, monkeypatch, home, capsys):
    rods.rename(rods.with_name("rods"))
    home.mkdir(parents=True)
    monkeypatch.setenv("PROVING_GROUND_DATA", str(rods.parent))
    assert main(["data", "where", "--weights-dir", str(tmp_path / "w")]) == 0
    out = capsys.readouterr().out
    assert out.index(f"1. {rods.parent}  ($PROVING_GROUND_DATA)") < out.index(f"2. {home}")
    assert "rods, 1 category" in out
    assert f"1. {tmp_path / 'w'}  (no such folder)" in out


def test_where_marks_what_an_earlier_folder_hides(tmp_path, write_category, capsys):
    for folder in ("a", "b"):
        write_category(tmp_path / folder / "mvtec" / "bottle", 2, 1, 1)
    dirs = [option for folder in "ab" for option in ("--data-dir", str(tmp_path / folder))]
    assert main(["data", "where", *dirs]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "mvtec, 1 cat" in line]
    assert [line.endswith("not used: an earlier folder has its id") for line in lines] == [0, 1]
    assert main(["data", "list", *dirs]) == 0
    assert str(tmp_path / "a" / "mvtec") in capsys.readouterr().out


def test_unknown_names_and_folders_are_refused(tmp_path, capsys):
    assert main(["data", "get", "mvtek"]) == 2
    assert "Did you mean mvtec" in capsys.readouterr().err
    assert main(["data", "verify", "--data-dir", str(tmp_path / "none")]) == 2
    assert "check --data-dir" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_with_speed_and_time_left():
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    with ProgressBar("rods.zip", stream=terminal) as progress:
        progress(0, 40_000_000)
        progress(40_000_000, 40_000_000)
    assert "rods.zip" in terminal.text
    assert "40.0M/40.0M" in terminal.text


def test_a_log_gets_whole_lines(capsys):
    with ProgressBar("rods.zip", "files") as progress:
        for done in range(101):
            progress(done, 100)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rods.zip: 100% 100/100")


@pytest.mark.parametrize(("options", "lines"), [({}, 10), ({"lines": 1}, 1)])
def test_a_slow_step_gets_as_many_lines_as_a_log_may_have(capsys, monkeypatch, options, lines):
    monkeypatch.setattr(output, "_LINE_SECONDS", 0.0)
    with ProgressBar("rods.zip", "files", **options) as progress:
        for done in range(101):
            progress(done, 100)
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_package_is_listed_and_not_downloaded(capsys):
    assert main(["data", "list"]) == 0
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("elpv ")]
    assert "a package" in row
    assert "CC BY-NC-SA 4.0" in row
    assert row.endswith("missing")
    assert main(["data", "get", "elpv"]) == 2
    said = capsys.readouterr().err
    assert "pip install elpv-dataset" in said
    assert "--extra data" in said


def test_where_names_installed_packages(elpv_package, capsys):
    assert main(["data", "where"]) == 0
    assert f"installed: elpv: {elpv_package}" in capsys.readouterr().out
