"""What `Finder` says about a case that cannot become a job."""

from dataclasses import replace

import pytest
from case_names import case_named

from bench.run.inputs import Finder
from bench.run.job import RecipeError
from bench.settings import Settings
from datasets_lib.discover import FoundDataset

CASE = case_named("autoencoder-surface.woven-default-scratch-s0")


@pytest.fixture
def finder(tmp_path):
    return Finder(Settings("smoke", "cpu", (), (), tmp_path, tmp_path), {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": 0.5}, "alpha: only classifiers' recipes have these fields"),
        ({"schedule": "milestones"}, "without milestones"),
        ({"optimizer": "adamant"}, "wanted one of"),
    ],
)
def test_a_change_that_a_recipe_cannot_take_is_the_recipes_fault(finder, changes, said):
    asking = Finder(replace(finder.settings, changes=changes), {})
    with pytest.raises(RecipeError, match=f"Recipe 'baseline' of autoencoder .*{said}"):
        asking.job(CASE)
    assert asking.unresolved_key(CASE) != finder.unresolved_key(CASE)


@pytest.mark.parametrize(
    ("own", "images"), [(("all",), 80_000), (("left", "right"), 160_000), (("all", "left"), 80_000)]
)
def test_a_category_named_all_is_one_category(finder, tmp_path, own, images):
    categories = {name: tmp_path / name for name in own}
    found = FoundDataset("parts", tmp_path, categories, "never:read")
    case = case_named("dinomaly_base_392-parts.all-default-scratch-s0")
    paper = Finder(replace(finder.settings, profile="paper"), {"parts": found})
    assert paper.protocol(case).recipe.images == images


def test_a_session_records_it(session_options, run_session, store):
    result = run_session(*session_options, "--set", "alpha=0.5", "-k", CASE.id)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*autoencoder*alpha: only classifiers*"])
    (record,) = store.records()
    assert record.outcome == "recipe"
    assert "Traceback" not in str(result.stdout)
