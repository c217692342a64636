import importlib
import re

import pytest

from datasets_lib.catalog import DATASETS
from datasets_lib.folder_names import folder_id


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
    assert entry.licence
    for path in filter(None, (entry.reader, entry.generator)):
        module, _, function = path.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_set_is_either_fetched_or_generated():
    for entry in DATASETS.values():
        assert bool(entry.homepage) != bool(entry.generator)
        assert bool(entry.version) == bool(entry.generator)
