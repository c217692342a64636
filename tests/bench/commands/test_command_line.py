"""``python -m bench``, as a user calls it."""

from pathlib import Path

from PIL import Image

from bench.__main__ import main
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
    (tmp_path / "cache" / "generated").mkdir()
    (tmp_path / "cache" / "generated" / "drawn.png").write_bytes(b"x" * 100)
    place = ["--cache-dir", str(tmp_path / "cache")]
    assert main(["cache", "info", *place]) == 0
    assert "1 entries" in capsys.readouterr().out
    assert main(["cache", "clean", *place]) == 0
    assert "freed" in capsys.readouterr().out
    assert cache.info() == []
    assert not list((tmp_path / "cache").rglob("drawn.png"))


def test_tuning_an_unknown_model_names_the_known(capsys):
    assert main(["tune", "rd_resnet81"]) == 2
    assert "rd_resnet18" in capsys.readouterr().err


def test_no_command_shows_what_there_is(capsys):
    assert main([]) == 2
    assert "leaderboard" in capsys.readouterr().err
