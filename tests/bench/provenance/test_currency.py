"""Whether a finished record is current for a case, and why not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from case_names import case_named
from fake_records import make

from bench import environment as environment_module
from bench.environment import LIBRARIES_ADDED, environment, expected
from bench.metrics.evaluation import anomaly_metrics
from bench.provenance.currency import Wanted, origin, why_stale
from bench.provenance.fingerprint import Fingerprint
from bench.record import from_json
from bench.run.inputs import Finder
from bench.settings import Settings

CODE = Fingerprint("0a", {"models/padim.py": "1", "models/components/base.py": "2"})
ASKED = {"measurements": True, "pictures": True, "models": False}
DEFAULT = Settings("smoke", "cpu", (), (), Path("results"), Path("cache"))
MASKS = torch.eye(4).bool()[None].repeat(2, 1, 1) & torch.tensor([True, False])[:, None, None]


def wanted(code=CODE, device="cpu", machine=None, asked=ASKED):
    return Wanted(code, device, expected("cpu") if machine is None else machine, asked)


def record(asked=ASKED, code=None, **environment_changes):
    made = make(asked=asked, code={"hash": "0a", "commit": "1234567890", "dirty": False})
    made.environment = environment("cpu") | environment_changes
    made.code |= code or {}
    return made


def test_a_record_of_this_code_machine_and_options_stands():
    assert why_stale(record(), wanted()) is None


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"cpu": "another"}, "processor was another"),
        ({"torch": "1.0"}, "torch was 1.0"),
        ({"timm": "0.1"}, "timm was 0.1"),
        ({"scipy": "1.0"}, "scipy was 1.0"),
        ({"freia": "0.1"}, "freia was 0.1"),
        ({"threads_set": "77"}, "threads"),
        ({"cores": 999}, "number of processors was 999"),
        ({"device": "cuda"}, "ran on cuda, not on cpu"),
    ],
)
def test_another_machine_is_named(changes, part):
    assert part in why_stale(record(**changes), wanted())


@pytest.mark.parametrize("library", LIBRARIES_ADDED)
def test_a_record_from_before_a_library_was_named_stands(library):
    old = record()
    del old.environment[library]
    assert why_stale(old, wanted()) is None


def test_a_record_that_lacks_any_other_name_is_stale():
    old = record()
    del old.environment["timm"]
    assert why_stale(old, wanted()) == f"its timm was unknown, now {expected('cpu')['timm']}"


@pytest.mark.parametrize("changes", [{"os": "another"}, {"python": "3"}, {"busy": True}])
def test_what_bears_on_no_number_does_not_count(changes):
    assert why_stale(record(**changes), wanted()) is None


def test_the_build_of_torch_and_the_drivers_patch_level_do_not_count():
    machine = {"torch": "2.14.1", "driver": "570.86"}
    same = record(torch="2.14.1+cu130", driver="570.86.15", device="cuda:1")
    assert why_stale(same, wanted(device="cuda", machine=machine)) is None
    other = record(torch="2.14.1", driver="575.10.1", device="cuda")
    assert "driver" in why_stale(other, wanted(device="cuda", machine=machine))


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as names go."""
    monkeypatch.setattr(environment_module, "_driver_version", lambda: "580.159.04")
    monkeypatch.setattr(environment_module, "_gpu_name", lambda: "NVIDIA H200")
    libraries = {"cuda": "13.0", "cudnn": 91900}
    monkeypatch.setattr(environment_module, "_cuda_libraries", lambda: libraries)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA H200")


PARTS = {
    "gpu": ("NVIDIA L4", "GPU"),
    "driver": ("575.10", "driver"),
    "cuda": ("12.8", "CUDA"),
    "cudnn": (91002, "cuDNN"),
    "cpu": ("another", "processor"),
    "torch": ("2.11.0", "torch"),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_class_of_a_gpu_is_compared(gpu, part):
    made = record(**environment("cuda"))
    assert made.environment["class"].count(" | ") == len(PARTS) - 1
    now = wanted(device="cuda", machine=expected("cuda"))
    assert why_stale(made, now) is None
    before, name = PARTS[part]
    made.environment[part] = before
    assert why_stale(made, now) == f"its {name} was {before}, now {now.machine[part]}"


def test_a_library_that_cannot_be_read_makes_no_record_stale(gpu, monkeypatch):
    made = record(**environment("cuda"))
    monkeypatch.setattr(environment_module, "_cuda_libraries", dict)
    assert why_stale(made, wanted(device="cuda", machine=expected("cuda"))) is None


def test_changed_code_names_files_and_commit():
    changed = record(code={"hash": "0b"})
    before = {**CODE.files, "models/padim.py": "0"}
    assert why_stale(changed, wanted(), before) == "models/padim.py changed since commit 1234567"
    assert "catalog entry" in why_stale(changed, wanted(), dict(CODE.files))
    assert "since commit 1234567" in why_stale(changed, wanted())


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({"optimizer": "adam", "epochs": 20}, None),
        ({"optimizer": "adam", "epochs": 30}, "its recipe's epochs was 20, now 30"),
        ({"added_later": 0.5}, None),
        ({"name": "rd_resnet18-baseline", "source": "another paper"}, None),
    ],
)
def test_a_recipe_with_other_values_is_named_even_if_they_are_defaults(now, why):
    old = record()
    old.protocol["recipe"]["source"] = "a paper"
    assert why_stale(old, replace(wanted(), recipe=now)) == why


def test_a_job_wants_the_whole_recipe(tmp_path, generated_once):
    cache = generated_once(tmp_path / "cache")
    finder = Finder(Settings("smoke", "cpu", (), (), tmp_path, cache), {})
    job = finder.job(case_named("rd_resnet18-surface.woven-default-scratch-s0"))
    kept = from_json(job.record().to_json())
    assert job.wanted.recipe == kept.protocol["recipe"]
    assert "betas" in job.wanted.recipe


def test_a_record_without_code_is_unknown_and_stale():
    old = make(finished="2026-01-01T00:00:00+00:00")
    assert "does not say which code" in why_stale(old, wanted(machine={}, asked={}))
    assert "unknown commit of 2026-01-01" in origin(old)


@pytest.mark.parametrize("name", ["measurements", "pictures", "models", "panels", "maps"])
@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("wants", [True, False])
def test_what_is_asked_must_be_there_and_more_may_be(name, has, wants):
    made = record(asked={**ASKED, name: has})
    why = why_stale(made, wanted(asked={name: wants}))
    assert (why is None) == (has or not wants)


def why_with(made, **options):
    """Return why a record is not valid for a session with these options."""
    return why_stale(made, wanted(asked=replace(DEFAULT, **options).asked))


def evaluated(maps, method="exact"):
    """Return the reasons and notes that a record has of an evaluation of two images."""
    labels = torch.tensor([True, False])
    values = anomaly_metrics(torch.rand(2), maps, labels, MASKS, None, method=method)
    reasons = {f"single_scale.{name}": why for name, why in values.reasons.items()}
    return reasons, {f"single_scale.{name}": note for name, note in values.notes.items()}


def test_a_record_from_before_a_part_was_named_has_it_not():
    old = record()
    assert why_with(old) is None
    assert why_with(old, panels=True) == "it has no panels"
    assert why_with(old, keep_maps=True, panels=True) == "it has no panels and no kept maps"


def test_files_that_are_there_count_whoever_asked():
    old = record()
    old.artifacts = {"maps": "maps.npz", "panels": "panels"}
    assert why_with(old, keep_maps=True, panels=True) is None


def test_binned_pixel_metrics_are_no_exact_ones():
    asked = replace(DEFAULT, pixel_metrics="histogram").asked
    binned = record(asked=asked)
    _, binned.notes = evaluated(torch.rand(2, 4, 4), "histogram")
    assert why_with(binned) == "it has no exact pixel metrics"
    assert why_with(binned, pixel_metrics="histogram") is None
    assert why_with(record(asked=DEFAULT.asked), pixel_metrics="histogram") is None


def test_bins_for_want_of_memory_or_of_unknown_origin_stand():
    _, notes = evaluated(torch.rand(2, 4, 4), "histogram")
    for asked in (ASKED, DEFAULT.asked):
        short = record(asked=asked)
        short.notes = notes
        assert why_with(short) is None


def test_a_model_without_maps_has_none_to_keep_and_none_to_sort():
    scores_only = record(asked=replace(DEFAULT, pixel_metrics="histogram").asked)
    scores_only.reasons, scores_only.notes = evaluated(None, "histogram")
    scores_only.metrics = {"single_scale": {"image_auroc": 0.9, "pixel_auroc": None}}
    assert why_with(scores_only, keep_maps=True) is None


def test_a_classifier_has_neither_panels_nor_maps_nor_pixel_metrics():
    asked = replace(DEFAULT, pixel_metrics="histogram").asked
    made = make("resnet50", "digits", asked=asked, code={"hash": "0a"})
    made.environment = environment("cpu")
    assert why_with(made, panels=True, keep_maps=True) is None


def test_dirty_code_is_reported():
    assert origin(record(code={"dirty": True})) == "commit 1234567 with changes"


def test_a_slice_of_a_gpu_is_the_gpu_that_the_driver_names():
    machine = {"gpu": "NVIDIA H200"}
    slice_of_it = record(gpu="NVIDIA H200 MIG 3g.71gb", device="cuda")
    assert why_stale(slice_of_it, wanted(device="cuda", machine=machine)) is None
    assert "GPU" in why_stale(
        record(gpu="NVIDIA L4", device="cuda"), wanted(device="cuda", machine=machine)
    )
