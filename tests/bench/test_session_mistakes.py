"""A user's mistake ends a session before it begins: exit code 4 and a message of a few lines."""

import shutil

import pytest
from fake_records import make

from bench.store import Store

WRONG = {
    "--profile": "smok",
    "--seeds": "0",
    "--recipes": "papr",
    "--plugin": "missing.py",
    "--augmentations": "flip",
    "--images-seen": "-5",
    "--image-size": "1.5",
    "--image-size=64x": None,
    "--fit": "stretch",
    "--tiles": "2",
    "--overlap": "-1",
    "--bits": "7",
    "--split-by": "(",
    "--max-megapixels": "0",
    "--measure-seconds": "-3",
    "--keep-stale=1": None,
    "--precision": "fp16",
    "--data-dir": "missing",
    "--weights-dir": "missing",
    "--results-dir": "file/results",
    "--cache-dir": "file/cache",
    "--workers": "two",
    "--host-memory": "-1",
    "--pixel-metrics": "fast",
    "--device": "tpu",
    "--isolate=1": None,
    "--no-isolate=1": None,
    "--case-timeout": "0",
    "--stall-timeout": "nan",
    "--compile": "maybe",
    "--no-feature-cache=1": None,
    "--cache-limit": "much",
    "--no-pictures=1": None,
    "--no-measurements=1": None,
    "--rerun=1": None,
    "--fail-empty=1": None,
    "--set": "lr",
    "--panels=1": None,
    "--gate=1": None,
    "--save-models=1": None,
    "--keep-maps=1": None,
    "--shots": "0",
    "--multi-class=1": None,
}
"""A wrong value for every option; for a flag, any value is wrong."""


@pytest.fixture
def session(root, run_session, tmp_path, monkeypatch):
    """Start a session of cases in the test's folder; without a mistake it selects none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    where = [str(root / "bench"), "--rootdir", str(root), "-c", str(root / "pyproject.toml")]
    none = ["-p", "no:cacheprovider", "-m", "pretrained and scratch"]
    return lambda *options: run_session(*where, *none, *options)


def complaint(result):
    """The message of a session that a mistake ended."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in [*result.outlines, *result.errlines] if line.strip()]
    assert len(lines) <= 5, lines
    return "\n".join(lines)


def test_the_mistakes_cover_every_option(pytestconfig):
    groups = [group for group in pytestconfig._parser._groups if group.name == "proving ground"]
    declared = {name for group in groups for option in group.options for name in option.names()}
    assert {name.partition("=")[0] for name in WRONG} == declared


@pytest.mark.parametrize(("option", "value"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_named_with_what_is_wanted(session, option, value):
    text = complaint(session(*filter(None, (option, value))))
    assert option.partition("=")[0] in text
    assert value is None or value in text


@pytest.mark.parametrize(
    ("options", "near"),
    [
        (["--profile", "standrad"], "standard"),
        (["--recipes", "baseline,fliped_crop"], "flip_crop"),
        (["--augmentations", "flip"], "flips"),
        (["-k", "rd_resnt18"], "rd_resnet18"),
        (["-k", "surfaec and scratch"], "surface"),
        (["-m", "surfaec and scratch"], "surface"),
        (["-m", "not distilation"], "distillation"),
    ],
    ids=" ".join,
)
def test_a_typo_is_answered_with_the_near_name(session, options, near):
    assert f"did you mean {near}" in complaint(session(*options))


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("cutmix and resnet50 and scratch", "resnet50-cifar100-cutmix-scratch-s0"),
        ("mvtec and bottle and padim", "padim-mvtec.bottle-default-scratch-s0"),
        ("s1 and padim and surface", "padim-surface.woven-default-scratch-s1"),
    ],
)
def test_every_axis_is_a_marker(session, expression, part):
    result = session("-m", expression, "--collect-only", "-q", "--seeds", "2")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*test_case[[]{part}[]]"])
    assert len(result.outlines) < 12


def test_a_file_in_place_of_a_folder_is_named(session, tmp_path):
    for option in ("--data-dir", "--weights-dir", "--results-dir", "--cache-dir"):
        assert str(tmp_path / "file") in complaint(session(option, str(tmp_path / "file")))
    assert "found a folder" in complaint(session("--plugin", str(tmp_path)))


def test_variables_are_checked_as_options_are(session, tmp_path, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_DATA", str(tmp_path / "no_data"))
    assert "no_data" in complaint(session())
    monkeypatch.delenv("PROVING_GROUND_DATA")
    monkeypatch.setenv("PROVING_GROUND_WEIGHTS", str(tmp_path / "no_weights"))
    assert "PROVING_GROUND_WEIGHTS" in complaint(session())


def test_one_set_in_two_data_folders_is_named_with_both(session, tmp_path, write_category):
    first = write_category(tmp_path / "a/parts/c", train=2, good=1, spots=1)
    shutil.copytree(first, tmp_path / "b/parts/c")
    text = complaint(session("--data-dir", str(tmp_path / "a"), "--data-dir", str(tmp_path / "b")))
    assert str(first.parent) in text
    assert str(tmp_path / "b/parts") in text


@pytest.mark.parametrize("name", ["surface", "digits"])
def test_only_the_folder_named_like_a_built_in_set_is_passed_over(
    session, tmp_path, write_category, name
):
    for folder in (name, "mine"):
        write_category(tmp_path / f"data/{folder}/c", train=2, good=1, spots=1)
    lines = session("--data-dir", str(tmp_path / "data")).outlines
    assert any("datasets found: " in line and "mine (1)" in line for line in lines)
    (remark,) = (line for line in lines if "passed over" in line)
    assert f"'{name}' is the name of a built-in dataset: rename the folder" in remark


def test_a_word_for_a_dataset_of_ones_own_leads_to_the_missing_option(
    session, tmp_path, write_category
):
    write_category(tmp_path / "data/blobs/c", train=2, good=1, spots=1)
    words = ["-k", "padim_resnet18 and xyzzy", "--results-dir", str(tmp_path / "results")]
    assert "datasets of your own need --data-dir DATA" in complaint(session(*words))
    assert "of your own" not in complaint(session(*words, "--data-dir", str(tmp_path / "data")))
    Store(tmp_path / "results" / "runs").append(make("padim_resnet18", "xyzzy.all"))
    said = "matches 'xyzzy'; xyzzy ran before: name the folder that holds it with --data-dir"
    assert said in complaint(session(*words))


def test_parallel_workers_are_refused_in_one_paragraph(session):
    assert "one at a time" in complaint(session("-n", "2"))


def test_a_test_file_of_ones_own_gets_a_collection_error_without_traceback(
    root, run_session, tmp_path
):
    file = tmp_path / "test_own_cases.py"
    file.write_text("def test_own(case, bench_session): pass\n")
    result = run_session(
        str(file), "-p", "bench.plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path),
        "--device", "tpu",
    )  # fmt: skip
    result.stdout.fnmatch_lines(["*wanted cpu, cuda or cuda:N, found 'tpu'*"])
    for part in ("*Traceback*", "*pluggy/*", "*bench/plugin.py*"):
        result.stdout.no_fnmatch_line(part)
