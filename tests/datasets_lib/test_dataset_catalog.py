import re
from dataclasses import replace

import pytest

from datasets_lib import catalog
from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS, register_dataset, register_layout
from datasets_lib.discover import find_datasets
from datasets_lib.entry import DatasetEntry, Layout
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import folder_id
from datasets_lib.resolve import resolve_callable


def test_mvtec_has_its_fifteen_categories():
    categories = DATASETS["mvtec"].categories
    assert len(set(categories)) == 15
    # Five textures, as the paper's table 1 has them; the rest are objects.
    assert {"carpet", "grid", "leather", "tile", "wood"} < set(categories)


@pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.name)
def test_entries_are_usable(entry):
    assert DATASETS[entry.name] is entry
    for name in (entry.name, *entry.categories):
        assert re.fullmatch("[a-z0-9_]+", name)
        assert folder_id(name) == name
    assert entry.license
    for path in filter(None, (entry.reader, entry.generator)):
        assert callable(resolve_callable(path))


def test_a_set_is_either_fetched_or_generated():
    for entry in DATASETS.values():
        assert bool(entry.homepage) != bool(entry.generator)
        assert bool(entry.version) == bool(entry.generator)


PUBLISHED = {
    # dataset: train, test, defective, validation
    "mvtec": (3629, 1725, 1258, 0),  # table 1 of the paper
    "visa": (8659, 2162, 1200, 0),  # 9,621 normal and 1,200 anomalous images
    "btad": (1799, 741, 290, 0),  # 2,540 images
    "mpdd": (888, 458, 282, 0),
    "mvtec_ad2": (2528, 1084, 705, 302),  # of 8,004; the rest is private
    "mvtec_loco": (1778, 1568, 993, 305),  # the archive; the paper has 1,772 and 304
    "kolektor_sdd": (278, 121, 52, 0),  # 399 images
}


@pytest.mark.parametrize(("name", "totals"), PUBLISHED.items())
def test_counts_sum_to_the_published_totals(name, totals):
    entry = DATASETS[name]
    assert tuple(entry.counts) == entry.categories
    counts = entry.counts.values()
    kinds = ("train", "test", "defective", "validation")
    assert tuple(sum(getattr(count, kind) for count in counts) for kind in kinds) == totals
    assert all(count.defective <= count.test for count in counts)


def test_real_iad_has_its_thirty_categories():
    assert len(set(DATASETS["real_iad"].categories)) == 30


@pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.name)
def test_checksums_and_addresses_are_well_formed(entry):
    for archive in entry.archives:
        assert re.fullmatch("(?:[0-9a-f]{64})?", archive.sha256)
        assert re.fullmatch("(?:[0-9a-f]{32})?", archive.md5)
        assert all(url.startswith(("https://", "http://")) for url in archive.urls)
    assert all(folder_id(folder) == folder != entry.name for folder in entry.folders)


@pytest.fixture
def registries():
    """The registries of datasets and layouts, restored after the test."""
    both = (catalog._DATASETS, catalog._LAYOUTS)
    before = [dict(registry) for registry in both]
    yield
    for registry, content in zip(both, before, strict=True):
        registry.clear()
        registry.update(content)


def find_pair(root):
    return {"all": root} if (root / "good.png").exists() else None


def read_pair(dataset, category, path):
    samples = [
        Sample(name, path / name, (), defect)
        for name, defect in (("good.png", None), ("bad.png", "scratch"))
    ]
    return Category(dataset, category, (samples[0],), tuple(samples), has_masks=False)


PAIR = DatasetEntry("pair", "Pair", "anomaly", ("all",), "CC0", finder=find_pair, reader=read_pair)


def write_pair(folder):
    folder.mkdir()
    for name in ("good.png", "bad.png"):
        (folder / name).touch()


def test_an_outside_dataset_is_one_registration(registries, tmp_path):
    write_pair(tmp_path / "Pair")
    assert find_datasets([tmp_path]) == {}
    register_dataset(PAIR)
    assert DATASETS["pair"] is PAIR
    dataset = find_datasets([tmp_path])["pair"]
    category = resolve_callable(dataset.reader)("pair", "all", dataset.categories["all"])
    assert [sample.defect for sample in category.test] == [None, "scratch"]


@pytest.mark.parametrize(
    ("finder", "words"),
    [
        (lambda root: [root], "returned a list: wanted a dict"),
        (lambda root: {}["a"], "finder of .*Pair failed with KeyError"),
        (lambda root: {"Line-A": root}, "category 'Line-A'.*lower-case"),
    ],
)
def test_a_finder_s_mistake_is_named(registries, tmp_path, finder, words):
    write_pair(tmp_path / "Pair")
    register_dataset(replace(PAIR, finder=finder))
    with pytest.raises(DatasetError, match=words):
        find_datasets([tmp_path])


def test_paths_of_categories_may_be_text(registries, tmp_path):
    write_pair(tmp_path / "Pair")
    register_dataset(replace(PAIR, finder=lambda root: {"all": str(root)}))
    assert find_datasets([tmp_path])["pair"].categories["all"] == tmp_path / "Pair"


def test_an_outside_layout_is_one_registration(registries, tmp_path):
    write_pair(tmp_path / "screws")
    register_layout(Layout("pair", find_pair, read_pair))
    assert list(CUSTOM_LAYOUTS)[-1] == "pair"
    assert find_datasets([tmp_path])["screws"].reader is read_pair


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "mvtec"}, "MVTec AD.*Pair"),
        ({"name": "btech"}, "BTAD.*Pair"),
        ({"folders": ("visa",)}, "VisA.*Pair"),
        ({"name": "my-set"}, "my-set"),
        ({"categories": ("M4",)}, "M4"),
        ({"task": "anomly"}, "'anomly': wanted one of anomaly"),
    ],
)
def test_names_of_datasets_are_checked(registries, changes, words):
    with pytest.raises(ValueError, match=words):
        register_dataset(replace(PAIR, **changes))


@pytest.mark.parametrize("name", ["class_folders", "Class-Folders"])
def test_names_of_layouts_are_checked(registries, name):
    with pytest.raises(ValueError, match="Rename"):
        register_layout(Layout(name, find_pair, read_pair))


def test_textures_have_no_split():
    textures = [entry for entry in DATASETS.values() if entry.task == "texture"]
    assert {entry.name for entry in textures} == {"dtd", "imagenette2"}
    for entry in textures:
        [counts] = entry.counts.values()
        assert counts.test == 0
    # 47 textures of 120 images each; 9,469 and 3,925 photographs in train and val.
    assert DATASETS["dtd"].counts[""].train == 47 * 120
    assert DATASETS["imagenette2"].counts[""].train == 9_469 + 3_925


@pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.name)
def test_restricted_terms_are_acknowledged_before_a_download(entry):
    restricted = re.search("NC|non-commercial|research|ImageNet", entry.license) is not None
    assert entry.ask_first == restricted
