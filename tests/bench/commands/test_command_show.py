"""``python -m bench show``: a case's numbers, files and command, or a suggestion."""

import shlex
from itertools import pairwise

import pytest
from fake_records import make

from bench.__main__ import main
from bench.commands import record_files
from bench.report.repeat import repeat_command
from bench.store import Store, read_records
from models.catalog import MODELS

BOTTLE = "padim_resnet18-mvtec.bottle-default-pretrained-s0"


@pytest.fixture
def keep(tmp_path):
    """Store records; return the options that name their file."""

    def write(*records):
        store = Store(tmp_path / "results" / "runs")
        for record in records:
            store.append(record)
        return ["--records", str(store.path)]

    return write


def shown(capsys, *arguments):
    assert main(["show", *arguments]) == 0
    return capsys.readouterr().out


def test_a_case_is_shown_whole(tmp_path, keep, capsys):
    folder = tmp_path / "results" / "runs" / BOTTLE
    folder.mkdir(parents=True)
    (folder / "curve.png").touch()
    record = make(
        "padim_resnet18",
        "mvtec.bottle",
        auroc=0.9712,
        metrics={"f1": None},
        intervals={"score": {"image_auroc": [0.91, 0.99]}},
        reasons={"score.f1": "no calibration split"},
        notes={"inference_images_per_s": "estimated"},
        curve=[[10.0, 2.0], [20.0, 1.0], [30.0, 0.5]],
        artifacts={"curve": f"runs/{BOTTLE}/curve.png", "scores": f"runs/{BOTTLE}/scores.npz"},
    )
    text = shown(capsys, BOTTLE, *keep(record))
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {
        f"{BOTTLE} (profile smoke)",
        "Image AUROC 97.12 [91.00, 99.00] over images",
        "F1 – no calibration split",
        "█▃▁ 2 → 0.5",
        "Inference images/s 123 (estimated)",
        f"files in {folder}",
        "curve curve.png",
        "scores scores.npz (not here)",
        repeat_command(record),
    } <= lines


@pytest.mark.parametrize("name", ["records.jsonl", "../records.jsonl"])
def test_files_are_found_from_inside_the_results(tmp_path, keep, capsys, monkeypatch, name):
    keep(make("padim_resnet18", "mvtec.bottle", artifacts={"curve": "runs/curve.png"}))
    inside = tmp_path / "results" / "runs" / ("case" if ".." in name else "")
    inside.mkdir(exist_ok=True)
    (tmp_path / "results" / "runs" / "curve.png").touch()
    monkeypatch.chdir(inside)
    text = shown(capsys, BOTTLE, "--records", name)
    assert f"files in {tmp_path / 'results' / 'runs'}" in " ".join(text.split())
    assert "not here" not in text


@pytest.mark.parametrize(
    ("name", "why"),
    [("busy", "the machine was busy"), ("throttled", "the machine was thermally throttled")],
)
def test_speeds_that_never_rank_say_why(keep, capsys, name, why):
    record = make("padim_resnet18", "mvtec.bottle")
    record.environment |= {"exclusive": True, "busy": False, "throttled": False} | {name: True}
    assert f"cost ({why}: speeds never rank)" in shown(capsys, BOTTLE, *keep(record))


def test_the_newest_run_counts_and_an_error_is_shown(keep, capsys):
    old = make("padim_resnet18", "mvtec.bottle", auroc=0.8)
    new = make("padim_resnet18", "mvtec.bottle", status="failed", finished="2026-02-01T00:00:00")
    text = shown(capsys, BOTTLE, *keep(new, old))
    assert "it broke" in text
    assert "newest of 2 runs" in text
    assert "80.00" not in text


def test_part_of_an_id_is_enough_where_one_case_has_it(keep, capsys):
    options = keep(make("padim_resnet18", "mvtec.bottle"), make("dfm_resnet18", "mvtec.bottle"))
    assert shown(capsys, "padim", *options).startswith(BOTTLE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bottle"], ["found 2", "dfm_resnet18-mvtec", "Name one"]),
        (["padim_resnt18"], ["padim_resnet18", "Did you mean"]),
        (["padim", "--profile", "paper"], ["under smoke", "--profile"]),
        (["padim", "--records", "absent.jsonl"], ["No records at absent.jsonl", "name the files"]),
    ],
)
def test_mistakes_are_answered_in_a_paragraph(keep, capsys, arguments, words):
    records = keep(make("padim_resnet18", "mvtec.bottle"), make("dfm_resnet18", "mvtec.bottle"))
    assert main(["show", *(arguments if "--records" in arguments else arguments + records)]) == 2
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []
    assert error.count("\n") == 1


def test_outside_the_clone_its_records_are_named(keep, tmp_path, monkeypatch, capsys):
    keep(make("padim_resnet18", "mvtec.bottle"))
    monkeypatch.setattr(record_files, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert main(["show", "padim"]) == 2
    error = capsys.readouterr().err
    assert "name that file, as --help says" in error
    assert str(tmp_path / record_files.RECORDS) in error


def test_a_name_of_a_record_stays_on_its_line(keep, capsys):
    record = make("padim_resnet18", "mvtec.bottle", artifacts={"a\nb": "c\0\u202ed.png"})
    text = shown(capsys, BOTTLE, *keep(record))
    assert "a\\nb" in text
    assert "\u202e" not in text


def test_the_command_to_repeat_a_committed_run_gives_its_protocol(root):
    """For every committed record, the options resolve to a protocol with the record's hash."""
    from bench.protocol import PROFILES, resolve

    checked = 0
    for file in sorted((root / "results" / "baselines").glob("anomaly*.jsonl")):
        for record in read_records([file]):
            words = shlex.split(repeat_command(record))
            given = dict(pairwise(words))
            protocol = resolve(
                MODELS[record.case.model],
                given.get("--recipes", "baseline"),
                PROFILES[given["--profile"]],
                precision=given.get("--precision", "float32"),
                pretrained=record.case.pretrained,
                images_seen=int(given.get("--images-seen", 0)) or None,
                image_size=int(given.get("--image-size", 0)) or None,
            )
            assert given["-k"] == record.key.id
            own = record.protocol
            for name in ("image_size", "images_seen", "precision", "crop", "recipe_name"):
                assert getattr(protocol, name) == own[name], (record.key.id, name)
            checked += 1
    assert checked > 30
