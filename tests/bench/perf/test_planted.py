"""The planted changes fit the code as it is; planting them is a matter of hours."""

import ast

import pytest

from bench.perf.planted import _DECOY
from bench.perf.plants import KINDS, PLANTS


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.title)
def test_a_plant_changes_what_is_there_and_leaves_python(plant, root):
    text = (root / plant.file).read_text()
    assert plant.old in text
    changed = text.replace(plant.old, plant.new)
    same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(text))
    assert same == plant.title.startswith("nothing")
    assert plant.cases in KINDS
    assert (root / _DECOY).is_file()
