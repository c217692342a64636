"""The examples in docstrings do what they show."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"^\s+>>> ", re.MULTILINE)


def modules():
    """Names of the modules whose docstrings have examples."""
    files = (
        file
        for package in ("bench", "datasets_lib", "models")
        for file in sorted((ROOT / package).rglob("*.py"))
    )
    for file in files:
        if EXAMPLE.search(file.read_text("utf-8")):
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules()))
def test_examples_in_docstrings_do_what_they_show(name, capsys):
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0
    assert result.failed == 0, capsys.readouterr().out
