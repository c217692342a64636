"""`train` on a tiny dataset: its files, its record compared with a session's, its overrides."""

import csv
import re
import shutil
from dataclasses import replace

import matplotlib.backends.backend_agg  # noqa: F401
import numpy as np
import pytest
import torch
from PIL import Image
from written_images import write_camera

from bench import (
    TrainingError,
    caveats,
    clear_memory,
    get_globals,
    set_globals,
    train,
    train_models,
)
from bench.checkpoint.file import read_checkpoint
from bench.interface.console import Console
from bench.interface.training import _asks_for_one
from bench.metrics.thresholds import confusion
from bench.run import recent
from bench.store import Store

SMALL = {"pretrained": False, "img_size": 64}
PADIM = ("tiny", "tile", "padim-resnet18")
RD = ("tiny", "tile", "rd-resnet18")
AE = ("tiny", "tile", "autoencoder")


def state_of(file):
    return torch.load(file, weights_only=True)


def test_a_run_leaves_the_files_of_the_specification(outputs):
    record = train(*RD, num_epochs=2, panels=True, **SMALL)
    folder = outputs / "tiny" / "tile" / "rd_resnet18-scratch"
    stem = "tiny_tile_rd_resnet18-scratch"
    names = {file.name for file in folder.iterdir()}
    panels = {name for name in names if name.startswith(f"image_{stem}_")}
    assert names - panels == {
        f"model_{stem}_epochs-2.pth",
        f"results_{stem}_thresholds.txt",
        f"results_{stem}_single_scale_thresholds.txt",
        f"histogram_{stem}_scores.png",
        f"histogram_{stem}_single_scale_scores.png",
        f"errors_{stem}_worst.jpg",
        f"errors_{stem}_single_scale_worst.jpg",
        f"curve_{stem}_loss.png",
        f"scores_{stem}.csv",
    }
    assert panels == {
        *(f"image_{stem}_good_{n:03}.png" for n in range(6)),
        *(f"image_{stem}_spot_{n:03}.png" for n in range(6)),
    }
    assert record.fingerprints["images_seen"] == 40  # two passes over 18, in whole batches of 8
    assert Store(outputs / "runs").records() == [record]


def test_the_panel_of_an_image_shows_it_its_mask_its_map_and_both(outputs, tmp_path):
    train(*PADIM, panels=True, **SMALL)
    (file,) = outputs.rglob("image_*_spot_000.png")
    picture = np.asarray(Image.open(file))
    # Four tiles of 64 pixels enlarged four times, with gaps of 4.
    assert picture.shape[1] == 4 * 256 + 5 * 4
    tiles = [picture[22 : 22 + 256, 4 + 260 * n : 260 + 260 * n] for n in range(4)]
    original = Image.open(tmp_path / "data/tiny/tile/test/spot/000.png").resize((64, 64))
    shown = np.asarray(Image.fromarray(tiles[0]).resize((64, 64), Image.Resampling.NEAREST))
    assert np.abs(shown.astype(int) - np.asarray(original)).mean() < 3  # apart from resampling
    outlined = (tiles[1] != tiles[0]).any(2)
    mask = Image.open(tmp_path / "data/tiny/tile/ground_truth/spot/000_mask.png")
    inside = np.asarray(mask.resize((256, 256), Image.Resampling.NEAREST)) > 0
    assert outlined.any()
    assert not outlined[inside & np.roll(inside, 8, 0) & np.roll(inside, -8, 0)].any()
    assert len(np.unique(tiles[2].reshape(-1, 3), axis=0)) > 20


def test_the_record_is_that_of_the_pytest_case(outputs, run_session, session_options, store):
    changes = {"num_epochs": 1, "batch_size": 4, "lr": 0.001}
    record = train(*AE, panels=True, **changes, **SMALL)
    options = ["--set", "epochs=1", "--set", "batch_size=4", "--set", "lr=0.001"]
    options += ["--image-size", "64", "--save-models", "--panels", "--no-measurements"]
    data = str(outputs.parent / "data")
    result = run_session(
        *session_options, *options, "--data-dir", data, "-k", f"{record.key.id} and tiny"
    )
    result.assert_outcomes(passed=1)
    (case,) = store.records()
    assert case.key == record.key
    ignored = ("load", "images_decoded", "feature_cache", "features_computed")
    both = [
        replace(
            each,
            fingerprints={n: v for n, v in each.fingerprints.items() if n not in ignored},
            environment={n: v for n, v in each.environment.items() if n not in ("busy",)},
            artifacts=set(each.artifacts),
            measurements={},  # durations
            charges={},
            timings=set(each.timings),
            started="",
            finished="",
        )
        for each in (case, record)
    ]
    assert both[0] == both[1]


def test_ids_lists_and_all_make_the_cases_in_order(outputs, write_category):
    data = outputs.parent / "data"
    for dataset in ("dataset_A", "dataset_B"):
        for category in ("pattern1", "pattern2"):
            write_category(data / dataset / category, train=8, good=2, spots=2)
    names = [
        record.key.id.removesuffix("-default-scratch-s0")
        for record in train(
            ["dataset_A", "dataset-b"], ["Pattern1", "pattern2"], "padim_resnet18", **SMALL
        )
    ]
    assert names == [
        "padim_resnet18-dataset_a.pattern1",
        "padim_resnet18-dataset_a.pattern2",
        "padim_resnet18-dataset_b.pattern1",
        "padim_resnet18-dataset_b.pattern2",
    ]
    again = train_models(
        dataset_type="dataset_a", categories="all", models=["padim-resnet18"], **SMALL
    )
    assert [r.case.category for r in again] == ["pattern1", "pattern2"]
    # Finished before: no new record.
    assert len(Store(outputs / "runs").records()) == 4
    train(
        dataset_type="dataset_a",
        category="pattern1",
        model_type="padim_resnet18",
        rerun=True,
        **SMALL,
    )
    assert len(Store(outputs / "runs").records()) == 5


@pytest.mark.parametrize(
    "names",
    [
        ("tiny", "All", "padim_resnet18"),
        (["tiny"], "tile", "padim_resnet18"),
        ("tiny", ["tile"], "padim_resnet18"),
    ],
)
def test_names_that_may_mean_several_cases_give_a_list(outputs, names):
    (record,) = train(*names, **SMALL)
    assert record.case.category == "tile"


@pytest.mark.parametrize(
    ("names", "single"),
    [
        (("mvtec", "bottle", "padim"), True),
        (("mvtec", "ALL", "padim"), False),
        (("mvtec", "bottle", "All"), False),
        (("digits", None, "resnet50"), True),
        (("digits", None, "ALL"), False),
    ],
)
def test_a_name_means_all_in_any_case(names, single):
    assert _asks_for_one(*names, multi_class=False) == single
    assert _asks_for_one(*names[:2], "padim", multi_class=True)


def test_panels_that_a_finished_case_lacks_are_drawn_once(outputs):
    train(*PADIM, **SMALL)
    store = Store(outputs / "runs")
    for panels, runs in ((False, 1), (True, 2), (True, 2), (False, 2)):
        train(*PADIM, panels=panels, **SMALL)
        assert len(store.records()) == runs
    assert list(outputs.rglob("image_*_spot_000.png"))


def test_a_model_of_one_pass_keeps_no_state_and_is_not_fitted_again_for_it(outputs):
    first = train(*PADIM, keep_state=True, **SMALL)
    assert train(*PADIM, keep_state=True, **SMALL) == first


def test_one_model_for_all_categories_has_a_report_for_each(outputs, write_category):
    data = outputs.parent / "data"
    for category in ("one", "two"):
        write_category(data / "pair" / category, train=8, good=2, spots=2)
    record = train("pair", "all", "padim_resnet18", multi_class=True, panels=True, **SMALL)
    assert record.case.category == "all"
    folder = outputs / "pair" / "all" / "padim_resnet18-scratch"
    stem = "pair_all_padim_resnet18-scratch"
    for category in ("one", "two"):
        text = (folder / f"results_{stem}_{category}_thresholds.txt").read_text()
        auroc = record.categories["score"][category]["image_auroc"]
        assert f"AUROC: {auroc:.3f} ({100 * auroc:.1f}%)" in text
        assert list(folder.glob(f"image_{stem}_{category}_*.png"))


def test_the_report_of_a_category_counts_its_own_held_out_images(outputs, write_category):
    data = outputs.parent / "data"
    for category, count in (("one", 8), ("two", 30)):
        write_category(data / "pair" / category, train=count, good=2, spots=2)
    train("pair", "all", "padim_resnet18", multi_class=True, **SMALL)
    for category, count in (("one", 1), ("two", 3)):  # a tenth of the training images
        (file,) = outputs.rglob(f"results_*_{category}_thresholds.txt")
        assert f"| from {count} normal images held out of training" in file.read_text()


def test_the_csv_of_scores_holds_what_the_metrics_come_from(outputs):
    record = train(*PADIM, **SMALL)
    (file,) = outputs.rglob("scores_*.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert len(rows) == 12
    scores = torch.tensor([float(row["score"]) for row in rows])
    labels = torch.tensor([int(row["defective"]) for row in rows])
    threshold = record.thresholds["score"]["calibrated_p95"]
    counts = confusion(scores, labels, threshold)
    assert counts.f1 == pytest.approx(record.metrics["score"]["f1"])
    assert sum(int(row["flagged"]) for row in rows) == counts.flagged


def test_training_stops_by_its_loss_and_says_so(outputs):
    record = train(*AE, num_epochs=9, target_loss=100.0, batch_size=9, **SMALL)
    assert record.fingerprints["images_seen"] == 18  # one pass
    assert "target" in record.fingerprints["stopped"]
    assert list(outputs.rglob("model_*_epochs-1.pth"))


def test_ten_epochs_are_five_and_five_more(outputs):
    """A resumed state reaches the same tensors and losses as uninterrupted training."""
    options = {"batch_size": 6, "lr": 0.001, **SMALL}
    unbroken = train(*AE, num_epochs=4, output_dir=outputs / "whole", **options)
    train(*AE, num_epochs=2, keep_state=True, output_dir=outputs / "half", **options)
    (state,) = (outputs / "half" / "tiny").rglob("training_*_epochs-2.pth")
    more = train(*AE, num_epochs=4, resume_from=state, output_dir=outputs / "half", **options)
    assert more.fingerprints["resumed_at"] == 6
    assert more.curve == unbroken.curve
    assert more.metrics == unbroken.metrics
    assert more.key.recipe != unbroken.key.recipe  # where it resumed from is part of its recipe


def test_a_saved_model_is_trained_on(outputs):
    options = {"batch_size": 6, **SMALL}
    train(*AE, num_epochs=2, **options)
    (model,) = outputs.rglob("tiny/tile/*/model_*_epochs-2.pth")
    warm = train(*AE, num_epochs=1, resume_from=model, rerun=True, **options)
    cold = train(*AE, num_epochs=1, **options)
    assert warm.curve[0][1] < cold.curve[0][1]
    assert warm.fingerprints["resumed_at"] == 0


def test_normalization_can_be_left_out(outputs):
    plain = train(*PADIM, normalize=False, **SMALL)
    usual = train(*PADIM, normalize=True, **SMALL)
    assert plain.key.recipe != usual.key.recipe
    assert plain.metrics != usual.metrics


def test_a_custom_seed_is_kept_apart(outputs):
    usual = train(*PADIM, **SMALL)
    assert train(*PADIM, seed=42, **SMALL) == usual  # the protocol's own
    other = train(*PADIM, seed=7, **SMALL)
    assert (usual.seed, other.seed) == (42, 7)
    assert other.key != usual.key


def test_a_custom_budget_is_a_share_of_the_recipes(outputs):
    from bench.aggregate.conditions import budget_share

    record = train(*AE, num_epochs=2, **SMALL)
    assert record.protocol["changed"] == {"epochs": 50}
    assert budget_share(record) == pytest.approx(2 / 50)


def test_event_files_hold_the_loss_and_the_metrics(outputs):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    record = train(*AE, num_epochs=2, batch_size=6, tensorboard=True, **SMALL)
    folder = outputs / "tiny" / "tile" / "autoencoder" / "tensorboard"
    events = loader.EventAccumulator(str(folder))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses == pytest.approx([loss for _, loss in record.curve])
    (auroc,) = events.Scalars("test/score/image_auroc")
    assert auroc.value == pytest.approx(record.metrics["score"]["image_auroc"])


def test_globals_are_kept_shown_and_checked(outputs, capsys):
    set_globals(seed=5, num_workers=8, pin_memory=True, persistent_workers=True, show_globals=True)
    assert (get_globals().seed, get_globals().num_workers) == (5, 8)
    assert get_globals().profile == "smoke"  # as it was
    assert re.search(r"seed +5\n", capsys.readouterr().out)
    with pytest.raises(TrainingError, match="output_dir"):
        set_globals(output_folder="x")
    with pytest.raises(TrainingError, match="smoke"):
        set_globals(profile="quick")


def test_memory_can_be_cleared_at_any_time(outputs):
    clear_memory()
    first = train(*PADIM, **SMALL)
    clear_memory()
    assert train(*PADIM, rerun=True, **SMALL).metrics == first.metrics


def test_data_that_are_edited_while_another_case_trains_are_recorded_as_they_are(
    outputs, write_category, monkeypatch
):
    folder = write_category(outputs.parent / "data/tiny/zebra", train=8, good=2, spots=2)
    before = train("tiny", "zebra", "padim-resnet18", **SMALL)
    begin = Console.begin

    def edit(console, job):
        if job.case.category == "tile":
            shutil.copyfile(folder / "train/good/000.png", folder / "train/good/001.png")
        begin(console, job)

    monkeypatch.setattr(Console, "begin", edit)
    monkeypatch.setattr(recent, "_FRESH_SECONDS", -1.0)
    _, edited = train("tiny", ["tile", "zebra"], "padim-resnet18", **SMALL)
    assert edited.status == "ok"
    assert edited.key.data != before.key.data


@pytest.fixture
def camera(outputs):
    """A dataset of a 12-bit camera, in its 16-bit files."""
    write_camera(outputs.parent / "data" / "camera")


def test_images_of_a_camera_of_fewer_bits_are_remarked_on_and_scaled(outputs, camera, capsys):
    remark = "become 17 gray levels: read them with bits=12"
    for models, options in ((["padim", "dfm_resnet18"], {}), (["padim"], {"bits": 12})):
        record, *_ = train("camera", None, models, verbose=True, **options, **SMALL)
        said = capsys.readouterr().out
        assert said.count(remark) == (not options)  # once for all models
        assert "come from as few as 1 held-out image, fewer than 19" in said
        metadata = read_checkpoint(outputs / record.artifacts["model"]).metadata
        assert metadata.preprocessing.bits == options.get("bits", 16)


def test_images_are_split_by_the_prefix_of_their_names(outputs, camera):
    record = train("camera", None, "padim", split_by="part[0-9]+", max_megapixels=1, **SMALL)
    assert record.fingerprints["split_by"] == "part[0-9]+"
    assert Image.MAX_IMAGE_PIXELS > 1_000_000  # the limit was that of one call


def test_missed_defects_are_named_at_the_end_of_a_call(outputs, monkeypatch, capsys):
    monkeypatch.setattr(caveats, "missed_defects", lambda records: (r.case.id for r in records))
    record = train(*PADIM, verbose=True, **SMALL)
    assert capsys.readouterr().out.splitlines()[-1] == record.case.id


def test_images_of_another_shape_are_padded_and_tiled(outputs):
    options = {"pretrained": False, "img_size": (64, 32), "tiles": [1, 2], "overlap": 8}
    record = train(*PADIM, fit="pad", **options)
    assert record.protocol["image_size"] == [64, 32]
    assert (record.protocol["fit"], record.protocol["tiles"]) == ("pad", [1, 2])
    assert record.metrics["score"]["image_auroc"] is not None
