"""Features of a frozen backbone: computed once, shared, kept under a limit, never wrong."""

import json
import os
import time
from types import SimpleNamespace

import pytest
import torch
from training_reports import quiet

from bench.run.features import disk as feature_disk
from bench.run.features import store as features
from bench.run.features.disk import FeatureDisk
from bench.run.features.store import FeatureStore, Split, pixel_digest
from models.catalog import WEIGHTS
from models.components.backbone import Backbone

CPU = torch.device("cpu")


def images(count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2)


def split(pixels=None):
    pixels = images() if pixels is None else pixels
    return Split(pixels, pixel_digest(pixels), CPU)


def backbone(layers=(1, 2, 3), seed=1, tag="resnet18.tv_in1k"):
    torch.manual_seed(seed)
    return Backbone(WEIGHTS[tag], None, layers)


def written(store):
    """Features, once they are on disk too."""
    found = store.features(backbone(), (), split(), quiet)
    store.flush()
    return found


@pytest.fixture
def disk(tmp_path, monkeypatch):
    # The clock stands still: a busy machine may write some kilobytes more slowly than compute them.
    still = SimpleNamespace(perf_counter=lambda: 0.0, time=time.time)
    monkeypatch.setattr(feature_disk, "time", still)
    return FeatureDisk(tmp_path / "features")


def test_features_are_those_of_the_backbone():
    net = backbone()
    found = FeatureStore().features(net, (), split(), quiet)
    expected = net(images().float().div(255))
    for ours, theirs in zip(found.batch(slice(1, 4)), expected, strict=True):
        torch.testing.assert_close(ours, theirs[1:4], rtol=1e-5, atol=1e-5)
    picked = found.batch(torch.tensor([4, 0]))
    torch.testing.assert_close(picked[2], expected[2][[4, 0]], rtol=1e-5, atol=1e-5)
    assert len(found) == 5


def test_one_pass_serves_all_who_tap_equal_tensors(forwards):
    store, data = FeatureStore(), split()
    first = store.features(backbone((3,)), (1, 2, 3), data, quiet)
    for layers in ((1, 2, 3), (2, 3), (2,)):
        again = store.features(backbone(layers), (), data, quiet)
        assert again.computed == 0
        assert again.seconds > 0
    assert first.computed == sum(forwards) == 5


def test_layers_deeper_than_the_models_own_are_another_pass(forwards):
    store, data = FeatureStore(), split()
    store.features(backbone((3,)), (3, 4), data, quiet)
    assert store.features(backbone((4,)), (3, 4), data, quiet).computed == 5
    assert sum(forwards) == 10


def test_time_to_a_layer_leaves_out_what_comes_after_it():
    store, data = FeatureStore(), split()
    deep = store.features(backbone((1, 4)), (), data, quiet)
    assert 0 < store.features(backbone((1,)), (), data, quiet).seconds < deep.seconds


def test_the_first_pass_of_a_backbone_is_dry_and_not_timed(monkeypatch):
    passes, stages = [], Backbone.stages

    def slow_at_first(self, batch, *clock):
        if not passes:
            time.sleep(1.0)  # as for compiling kernels and allocating memory
        passes.append((len(batch), bool(clock)))
        return stages(self, batch, *clock)

    monkeypatch.setattr(Backbone, "stages", slow_at_first)
    found = FeatureStore().features(backbone(), (), split(), quiet)
    assert passes == [(2, False), (5, True)]
    assert 0 < found.seconds < 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"tag": "resnet50.tv_in1k"},
        {"pixels": images(seed=9)},
        {"pixels": images(count=4)},
        {"pixels": images()[:, :, :32, :32]},
    ],
)
def test_other_tensors_or_pixels_are_never_served(change, forwards):
    store = FeatureStore()
    store.features(backbone(), (), split(), quiet)
    data = split(change.pop("pixels", None))
    assert store.features(backbone(**change), (), data, quiet).computed == len(data.images)


def test_mean_and_deviation_are_part_of_what_features_are_of():
    net = backbone()
    before = net.digests()
    net.mean += 0.1
    assert set(before.values()).isdisjoint(net.digests().values())


def test_a_later_session_reads_what_an_earlier_one_computed(disk, forwards):
    cold = written(FeatureStore(disk))
    warm = FeatureStore(disk).features(backbone(), (), split(), quiet)
    assert (cold.computed, warm.computed, sum(forwards)) == (5, 0, 5)
    assert warm.seconds == cold.seconds  # cold-equivalent
    for ours, theirs in zip(warm.parts, cold.parts, strict=True):
        assert torch.equal(ours, theirs)


def test_layers_over_the_limit_of_the_disk_are_not_copied_for_it(tmp_path, monkeypatch):
    sizes = [part.nbytes for part in FeatureStore().features(backbone(), (), split(), quiet).parts]
    assert sizes == sorted(sizes, reverse=True)
    wanted = []

    def write(disk, key, features, seconds):
        wanted.append(features.nbytes)

    monkeypatch.setattr(FeatureDisk, "write", write)
    written(FeatureStore(FeatureDisk(tmp_path / "none", limit=sizes[1])))
    assert wanted == sizes[1:]


def test_a_layer_on_cuda_is_copied_once_the_layer_before_it_is_written():
    events = []

    def write(key, features, seconds):
        time.sleep(0.05)
        events.append(f"{key} written")

    def layer(name):
        return SimpleNamespace(is_cuda=True, nbytes=4, cpu=lambda: events.append(f"{name} copied"))

    store = FeatureStore(SimpleNamespace(has_capacity=lambda size: True, write=write))
    for name in "ab":
        store._write(name, layer(name), 1.0)
    store.flush()
    assert events == ["a copied", "a written", "b copied", "b written"]


def test_a_folder_that_cannot_be_read_has_no_capacity(tmp_path, monkeypatch):
    disk = FeatureDisk(tmp_path, limit=9)
    assert [disk.has_capacity(size) for size in (9, 10)] == [True, False]

    def fail():
        raise PermissionError

    monkeypatch.setattr(disk, "capacity", fail)
    assert not disk.has_capacity(1)


def test_what_memory_does_not_hold_is_not_kept(monkeypatch, forwards):
    monkeypatch.setattr(features, "_SHARE_OF_FREE_MEMORY", 0.0)
    assert FeatureStore().features(backbone(), (), split(), quiet) is None


def test_what_memory_does_not_hold_is_a_view_of_the_file(disk, monkeypatch):
    cold = written(FeatureStore(disk))
    monkeypatch.setattr(features, "_SHARE_OF_FREE_MEMORY", 0.0)
    warm = FeatureStore(disk).features(backbone(), (), split(), quiet)
    assert warm.computed == 0
    assert torch.equal(warm.parts[0], cold.parts[0])


@pytest.mark.parametrize("harm", ["short", "no facts", "torn facts", "no numbers"])
def test_a_damaged_entry_is_computed_again(disk, harm, tmp_path):
    cold = written(FeatureStore(disk))
    for facts in (tmp_path / "features").glob("*.json"):
        numbers = facts.with_suffix(".features")
        if harm == "short":
            numbers.write_bytes(numbers.read_bytes()[:-4])
        elif harm == "no facts":
            facts.unlink()
        elif harm == "torn facts":
            facts.write_text(facts.read_text()[:9])
        else:
            numbers.unlink()
    again = FeatureStore(disk).features(backbone(), (), split(), quiet)
    assert again.computed == 5
    assert torch.equal(again.parts[1], cold.parts[1])


def test_the_least_recently_used_go_first(tmp_path):
    disk = FeatureDisk(tmp_path, limit=3 * 4000)
    part = torch.arange(1000.0)
    for number, key in enumerate(("a", "b", "c")):
        assert disk.write(key, part + number, 100.0)
        touch(tmp_path / f"{key}.json", 1000 + number)
    assert disk.find("a") is not None  # used now
    assert disk.write("d", part, 100.0)
    assert [disk.find(key) is not None for key in "abcd"] == [True, False, True, True]
    assert torch.equal(disk.find("c").mapped(), part + 2)
    assert len(list(tmp_path.glob("*.features"))) == len(list(tmp_path.glob("*.json"))) == 3


def touch(path, moment):
    os.utime(path, (moment, moment))


def test_what_is_over_the_limit_is_not_written(tmp_path):
    disk = FeatureDisk(tmp_path / "none", limit=3999)
    assert not disk.write("a", torch.zeros(1000), 100.0)
    assert list((tmp_path / "none").glob("*.features")) == []


def test_reading_slower_than_computing_is_bypassed(tmp_path):
    disk = FeatureDisk(tmp_path)
    assert disk.write("a", torch.zeros(1000), 100.0)
    facts = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(facts | {"seconds": 1e-12}))
    assert disk.find("a").mapped() is None
    assert not disk.write("b", torch.zeros(1000), 1e-12)  # nor written
    assert disk.find("b") is None


def test_features_that_are_computed_faster_than_written_evict_nothing(tmp_path):
    disk = FeatureDisk(tmp_path, limit=4000)
    assert disk.write("a", torch.zeros(1000), 100.0)
    store = FeatureStore(disk)
    store._write("b", torch.zeros(1000), seconds=1e-9)
    store.flush()
    assert disk.find("a") is not None
    store._write("b", torch.zeros(1000), seconds=100.0)
    store.flush()
    assert disk.find("b") is not None


def test_a_folder_that_cannot_be_written_costs_the_entry_alone(tmp_path):
    (tmp_path / "file").write_text("")
    store = FeatureStore(FeatureDisk(tmp_path / "file" / "features", limit=10**9))
    assert store.features(backbone(), (), split(), quiet).computed == 5


def test_unfinished_files_are_no_entries_and_are_cleared(tmp_path):
    disk = FeatureDisk(tmp_path)
    (tmp_path / "z.features").write_bytes(bytes(4000))
    half = tmp_path / ".z.features.0.tmp"
    half.write_bytes(b"")
    touch(half, 1000)
    assert disk.find("z") is None
    assert disk.write("a", torch.zeros(1000), 100.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a.features", "a.json"]


def test_entries_are_listed_and_cleaned(tmp_path):
    disk = FeatureDisk(tmp_path)
    for key, used in (("old", 1000), ("new", None)):
        assert disk.write(key, torch.zeros(4, 2, 2, 5), 100.0)
        if used:
            touch(tmp_path / f"{key}.json", used)
    assert [(what, size) for what, size, _ in disk.entries()] == [
        ("features 4 × 2 × 2 × 5", 320)
    ] * 2
    assert disk.clean(older_than_days=1) == 320
    assert disk.find("new") is not None
    assert disk.clean() == 320
    assert disk.entries() == []
