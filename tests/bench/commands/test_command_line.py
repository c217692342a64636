"""``python -m bench``, as a user calls it."""

import argparse
from pathlib import Path

import pytest
from fake_records import make
from PIL import Image

from bench import studies
from bench.__main__ import _run as run
from bench.__main__ import main
from bench.store import Store
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.layouts.category import Sample


def test_leaderboard_without_records_says_what_to_do(tmp_path, capsys):
    assert main(["leaderboard", str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 2
    assert "Run some cases first" in capsys.readouterr().err


def test_leaderboard_writes_tables_and_picture(root, tmp_path, capsys):
    baselines = root / "results" / "baselines"
    records = sorted(map(str, baselines.glob("*.jsonl")))
    assert main(["leaderboard", *records, "--out", str(tmp_path), "--picture"]) == 0
    written = {Path(line).name for line in capsys.readouterr().out.split()}
    tables = {"LEADERBOARD.md", "LEADERBOARD.csv", "leaderboard.png"}
    curves = {path.name for path in baselines.glob("curves_*.png")}
    assert len(curves) == 2  # of two machines
    assert written == tables | curves
    assert "rd_resnet18" in (tmp_path / "LEADERBOARD.csv").read_text()
    with Image.open(tmp_path / "leaderboard.png") as picture:
        assert picture.width > 400


def test_cache_is_shown_and_cleaned(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    cache = DecodeCache(tmp_path / "cache")
    cache.get([Sample("a.png", tmp_path / "a.png")], 16)
    for name in ("generated", "hashes"):
        (tmp_path / "cache" / name).mkdir(exist_ok=True)
        (tmp_path / "cache" / name / "drawn.png").write_bytes(bytes(5_000_000))
    place = ["--cache-dir", str(tmp_path / "cache")]
    assert main(["cache", "info", *place]) == 0
    *rows, total = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows[-2:]] == ["generated sets", "hashes of files"]
    assert total.startswith("3 entries, ")
    assert main(["cache", "clean", *place]) == 0
    freed = capsys.readouterr().out.split(" below")[0].removeprefix("freed ")
    assert f"3 entries, {freed}, below" in total
    assert main(["cache", "info", *place]) == 0
    assert capsys.readouterr().out.startswith("0 entries")
    assert cache.info() == []
    assert not list((tmp_path / "cache").rglob("drawn.png"))


def test_tuning_an_unknown_model_names_the_known(capsys):
    assert main(["tune", "rd_resnet81"]) == 2
    assert "rd_resnet18" in capsys.readouterr().err


def test_tuning_wants_a_model_with_a_tuned_recipe(capsys):
    assert main(["tune", "padim_resnet18"]) == 2
    err = capsys.readouterr().err
    assert "rd_resnet18" in err
    assert "stfpm" not in err


def test_a_record_that_cannot_be_written_is_a_paragraph(tmp_path, capsys):
    (tmp_path / "runs").write_text("a file where the folder would be")

    def append(_):
        Store(tmp_path / "runs").append(make())

    assert run(argparse.Namespace(plugin=[], run=append)) == 2
    assert "Earlier records are safe" in capsys.readouterr().err


def test_no_command_shows_what_there_is(capsys):
    assert main([]) == 2
    assert "leaderboard" in capsys.readouterr().err


MISTAKES = {
    "leaderbord": "leaderboard",
    "doctor --nope": "--nope",
    "doctor --results-dir": "--results-dir",
    "leaderboard none.jsonl": "none.jsonl",
    "leaderboard records.jsonl --out file/x": "file",
    "compare one": "ID_B",
    "compare one two --records none.jsonl": "none.jsonl",
    "cache clear": "clean",
    "cache clean --older-than=-1": "days",
    "cache info --cache-dir file": "--cache-dir",
    "tune rd_resnt18": "did you mean rd_resnet18",
    "tune rd_resnet18 --images-seen 0": "--images-seen",
    "tune rd_resnet18 --weights-dir none": "--weights-dir",
    "distill small": "--out",
    "distill small --out x.pth --steps none": "--steps",
    "distill small --out x.pth --weights-dir none": "--weights-dir",
    "bundle x.tar": "--study",
    "bundle x.tar --study rd_backbon": "rd_backbone",
    "bundle x.tar --study rd_backbone -k (": "-k",
    "bundle x.tar --study rd_backbone --weights-dir none": "--weights-dir",
    "bundle x.tar --study rd_backbone --wheels-dir none": "--wheels-dir",
    "bundle x.tar --study rd_backbone --data-dir none": "--data-dir",
    "unbundle none.tar": "--to",
    "unbundle none.tar --to there": "none.tar",
    "data gett mvtec": "get",
    "data get mvtek": "mvtec",
    "data verify --data-dir none": "--data-dir",
    "--plugin none.py leaderboard": "none.py",
}


@pytest.mark.parametrize(("line", "word"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_paragraph(line, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "records.jsonl").write_text("")
    try:
        code = main(line.split(" "))
    except SystemExit as end:
        code = end.code
    text = capsys.readouterr().err
    assert code == 2
    assert word in text
    assert len(text.splitlines()) <= 5


def test_a_plugin_joins_a_command(tmp_path, capsys):
    (tmp_path / "command_plugin.py").write_text(
        "from bench.study import Study\n"
        "from bench.studies import register_study\n"
        "register_study(Study('of_a_command', 'anomaly', '?', ('padim',), ('surface',)))\n"
    )
    plugin = str(tmp_path / "command_plugin.py")
    code = main(["--plugin", plugin, "bundle", str(tmp_path / "x.tar"), "--study", "of_none"])
    assert code == 2
    assert "of_a_command" in capsys.readouterr().err
    del studies._STUDIES["of_a_command"]  # other tests read all studies
