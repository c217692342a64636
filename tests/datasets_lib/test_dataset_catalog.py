import importlib
import re

import pytest

from datasets_lib.catalog import DATASETS
from datasets_lib.layouts.folders import folder_id


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
        module, _, function = path.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


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


def test_no_two_datasets_go_by_one_folder():
    names = [name for entry in DATASETS.values() for name in (entry.name, *entry.folders)]
    assert len(names) == len(set(names))


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
