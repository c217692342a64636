"""The planted changes apply to the current code; running them takes hours."""

import ast

import pytest

from bench.perf.planted import _DECOY, _chosen, merged_page
from bench.perf.plants import KINDS, PLANTS


def row(title, code):
    return [title, "3", code, "none", "yes", "–", "abc1234"]


def test_a_page_keeps_its_text_and_the_rows_that_were_not_run_again():
    first = merged_page("", [row("a", "0"), row("b", "10")])
    page = merged_page(first + "\nNotes.\n", [row("b", "0"), row("c", "10")])
    assert page.startswith("# Planted regressions\n")
    assert page.endswith("\n\nNotes.\n")
    rows = [line.split("|")[1:4:2] for line in page.splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in cells] for cells in rows[1:]] == [
        ["a", "0"],
        ["b", "0"],
        ["c", "10"],
    ]


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["wrong normalization constants"], ["wrong normalization constants"]),
        (["leak", "sleep of 1 ms"], ["a leak of 50 MB", "a sleep of 1 ms, 10 % of a forward pass"]),
        (["nowhere"], []),
    ],
)
def test_a_title_chooses_its_row_and_a_part_of_one_all_that_have_it(titles, expected):
    assert [plant.title for plant in _chosen(titles)] == expected


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.title)
def test_a_plant_changes_what_is_there_and_leaves_python(plant, root):
    text = (root / plant.file).read_text()
    if plant.moved:
        assert not (root / plant.moved).exists()
        text = "\n".join(file.read_text() for file in (root / "models").rglob("*.py"))
    assert plant.old in text
    changed = text.replace(plant.old, plant.new)
    same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(text))
    assert same == plant.title.startswith("nothing")
    assert plant.cases in KINDS
    assert (root / _DECOY).is_file()
