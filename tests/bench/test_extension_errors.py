"""A plugin's mistake is one line with its place, and the near name where a field is mistyped."""

import pytest

from bench.extensions import ExtensionError, load_extensions

MODEL = """
from models.catalog import ModelEntry, Recipe, register_model
register_model(ModelEntry(
    name="broken", {family}="x", build=print, weights=None, recipes={{"baseline": {recipe}}}
))
"""
RECIPE = 'Recipe(optimizer="adam", source="here")'
TRIALS = {
    "syntax": ("x = 1\ny = (", "line 2: SyntaxError"),
    "import": ("import nothing_of_this_name", "line 1: ModuleNotFoundError"),
    "typo": (MODEL.format(family="famly", recipe=RECIPE), "did you mean family?"),
    "missing": ("from bench.study import Study\nStudy('a')", "its fields are name, task"),
    "optimizer": (MODEL.format(family="family", recipe=RECIPE.replace("adam", "adm")), "adamw"),
    "schedule": (
        MODEL.format(family="family", recipe=RECIPE.replace(")", ", schedule='cosin')")),
        "schedule 'cosin'",
    ),
    "taken": (
        MODEL.format(family="family", recipe=RECIPE).replace("broken", "padim"),
        "named 'padim'",
    ),
    "augmentation": (
        "from datasets_lib.augment.catalog import AugmentationEntry\nAugmentationEntry(nme='a')",
        "did you mean name?",
    ),
    "raises": ("def f():\n    return {}['key']\n\nf()", "line 2: KeyError"),
}


@pytest.mark.parametrize(("source", "said"), TRIALS.values(), ids=TRIALS)
def test_an_error_has_its_line_and_what_is_wanted(tmp_path, source, said):
    file = tmp_path / "extension_trial.py"
    file.write_text(source)
    with pytest.raises(ExtensionError) as error:
        load_extensions([file])
    text = str(error.value)
    assert text.startswith(f"--plugin {file}, line ")
    assert said in text
    assert len(text.splitlines()) == 1
