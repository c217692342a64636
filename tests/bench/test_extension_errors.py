"""A plugin's mistake is one line with its place, and a similar name if a field is mistyped."""

import sys

import pytest

from bench.extensions import ExtensionError, load_extensions, silent_files
from datasets_lib.resolve import resolve_callable

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
    "heads": (
        MODEL.format(family='heads="score", family', recipe=RECIPE),
        "Write heads=('score',)",
    ),
    "own_builder": (
        "from datasets_lib.augment.catalog import AugmentationEntry, register_augmentation\n"
        "def dim(images, targets, streams): ...\n"
        "register_augmentation(AugmentationEntry('dim', 'Dimmed', dim))",
        "Write builder=lambda:",
    ),
    "transform": (
        "from torchvision.transforms import v2\n"
        "from datasets_lib.augment.catalog import AugmentationEntry, register_augmentation\n"
        "register_augmentation(AugmentationEntry('dim', 'Dimmed', v2.GaussianBlur(3)))",
        "Write builder=lambda:",
    ),
    "raises": ("def f():\n    return {}['key']\n\nf()", "line 2: KeyError"),
}


def test_a_file_that_registers_nothing_is_named(tmp_path):
    file = tmp_path / "extension_without_entries.py"
    file.write_text("answer = 42")
    load_extensions([file])
    (line,) = silent_files([file, tmp_path / "other.py"])
    assert line.startswith(f"--plugin {file} registered nothing")


def test_a_file_on_the_import_path_runs_once_under_its_own_name(tmp_path, monkeypatch):
    file = tmp_path / "extension_on_the_path.py"
    file.write_text("def build(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_extensions([file])
    assert resolve_callable(f"{file.stem}:build") is sys.modules[file.stem].build
    assert [name for name in sys.modules if name.startswith(file.stem)] == [file.stem]


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
