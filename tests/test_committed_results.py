"""What is committed under results/ comes only from the committed records."""

import re
import subprocess
from pathlib import Path
from statistics import fmean

import pytest

from bench.__main__ import main
from bench.report.leaderboard import readme_block, write_leaderboard
from bench.store import read_records
from bench.studies import STUDIES
from models.catalog import MODELS

FORMATS = "md,csv,html,json"
ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_tables_of_a_session_are_ignored_and_nothing_committed_is():
    tables = [f"results/LEADERBOARD.{name}" for name in FORMATS.split(",")]
    for words, expected in (
        (["check-ignore", "--no-index", *tables, "results/baselines/LEADERBOARD.md"], tables),
        (["ls-files", "--cached", "--ignored", "--exclude-standard"], []),
    ):
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines() == expected


@pytest.fixture
def records(root):
    files = sorted((root / "results" / "baselines").glob("*.jsonl"))
    assert files
    return read_records(files)


def test_committed_tables_are_those_of_the_committed_records(root, records, tmp_path):
    for path in write_leaderboard(records, tmp_path):
        assert path.read_bytes() == (root / "results" / "baselines" / path.name).read_bytes()


def test_the_table_of_the_whole_zoo_has_every_model_and_is_that_of_its_records(root, tmp_path):
    folder = root / "results" / "baselines" / "zoo_surface"
    zoo = read_records([folder / "records.jsonl"])
    assert {record.status for record in zoo} == {"ok"}
    assert {r.case.model for r in zoo} == {
        name for name, entry in MODELS.items() if entry.task == "anomaly"
    }
    for path in write_leaderboard(zoo, tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.slow
def test_every_generated_file_is_written_again_to_the_byte(root, tmp_path):
    files = sorted(map(str, (root / "results" / "baselines").glob("*.jsonl")))
    written = []
    for number, order in enumerate((files, files[::-1])):
        folder = ["--out", str(tmp_path / str(number))]
        assert main(["leaderboard", *order, *folder, "--format", FORMATS, "--picture"]) == 0
        assert main(["page", *order, *folder]) == 0
        paths = sorted((tmp_path / str(number)).rglob("*.*"))
        written.append({p.relative_to(tmp_path / str(number)): p.read_bytes() for p in paths})
    names = {path.name for path in written[0]}
    assert {f"LEADERBOARD.{name}" for name in FORMATS.split(",")} < names
    assert {"leaderboard.png", "curves_standard_mixing_cifar100.png", "index.html"} < names
    assert sum(path.parent.name == "cases" for path in written[0]) > 40
    assert written[0] == written[1]


def test_the_readmes_table_is_the_one_of_the_committed_records(root, records):
    readme = (root / "README.md").read_text()
    block = re.search(
        r"<!-- results: (\w+) ([\w.]+) .*?-->\n(.*?)\n<!-- /results -->", readme, re.S
    )
    assert block is not None
    assert block[3] == readme_block(records, block[1], block[2])


def test_committed_records_finished_and_name_their_environment(records):
    assert {record.status for record in records} == {"ok"}
    for record in records:
        assert record.environment["class"]
        assert record.key.data != "unread"
        assert record.started < record.finished


def test_committed_records_hold_no_path_of_a_machine(root):
    for file in (root / "results").rglob("*.jsonl"):
        assert not re.search(r'"/(work|home|root|tmp|Users)/', file.read_text()), file


def test_bf16_training_agrees_with_float32_on_real_weights(root, records):
    (exact,) = read_records([root / "results/baselines/checks/float32_beside_bf16.jsonl"])
    machine = exact.environment["class"]
    same = [r for r in records if r.environment["class"] == machine]
    (rounded,) = [r for r in same if r.key.id == exact.key.id]
    assert (exact.protocol["precision"], rounded.protocol["precision"]) == ("float32", "bf16")
    assert exact.key.data == rounded.key.data
    for head, metrics in exact.metrics.items():
        # Measured at most .6 and .2 points, where seeds differ by up to 16 and 2 points.
        for name, points in (("image_auroc", 1), ("pixel_auroc", 0.5)):
            assert metrics[name] == pytest.approx(rounded.metrics[head][name], abs=points / 100)


def test_stfpm_differs_less_between_precisions_than_between_seeds(root):
    by_precision = {"float32": {}, "bf16": {}}
    for record in read_records([root / "results/baselines/checks/stfpm_precisions.jsonl"]):
        own = by_precision[record.protocol["precision"]]
        own[record.case.replicate] = record.metrics["score"]
    exact, rounded = by_precision.values()
    assert exact.keys() == rounded.keys() == {0, 1, 2}
    for name in ("image_auroc", "pixel_auroc", "aupro_30"):
        figures = [metrics[name] for metrics in exact.values()]
        differences = [abs(exact[seed][name] - rounded[seed][name]) for seed in exact]
        assert max(differences) < 0.6 * (max(figures) - min(figures)), name  # found: .54


def test_the_tuned_recipe_is_the_one_that_won_on_surface(root):
    scores = {}
    for record in read_records([root / "results/baselines/tuning/rd_resnet18.jsonl"]):
        assert (record.status, record.case.dataset) == ("ok", "surface")
        recipe = record.protocol["recipe"]
        found = [metrics["image_auroc"] for metrics in record.metrics.values()]
        scores.setdefault((recipe["lr"], recipe["loss"]), []).append(fmean(found))
    assert {len(textures) for textures in scores.values()} == {4}
    best = max(scores, key=lambda candidate: fmean(scores[candidate]))
    tuned = MODELS["rd_resnet18"].recipes["tuned"]
    assert (tuned.lr, tuned.loss) == best


def test_the_committed_classifiers_learned(records):
    mixing = [r for r in records if r.case.model in STUDIES["mixing"].models]
    assert {record.case.augmentation for record in mixing} == {"default", "mixup", "cutmix"}
    for record in mixing:
        assert record.fingerprints["images"] == {"fit": 50_000, "test": 10_000}
        losses = [loss for _, loss in record.curve]
        assert fmean(losses[-10:]) < fmean(losses[:10]) - 0.5
        figures = record.metrics["last_epoch"]
        # Chance is .01; transformers learn slowly from scratch.
        assert figures["top1"] > (0.2 if record.case.model.startswith("resnet50") else 0.15)
        assert figures["top1"] == pytest.approx(figures["macro_recall"], abs=1e-9)


def test_a_pretrained_transformer_is_ahead_of_one_from_scratch(root):
    found = {
        record.key.id: record.metrics["last_epoch"]["top1"]
        for record in read_records([root / "results/baselines/checks/classifiers_subsets.jsonl"])
    }
    for recipe in ("", ".modern"):
        model = f"deit_tiny_patch16_224{recipe}-cifar100-default"
        assert found[f"{model}-pretrained-s0"] > 2 * found[f"{model}-scratch-s0"]
