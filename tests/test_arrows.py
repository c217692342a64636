"""The import arrows of the design, read from the sources themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "models": {"bench", "datasets_lib", "conftest", "tests"},
    "datasets_lib": {"bench", "models", "conftest", "tests"},
    "bench": {"conftest", "tests"},
}
LIGHT = [
    "bench",
    "bench.plugin",
    "bench.__main__",
    "bench.report.leaderboard",
    "bench.run.inputs",
    "bench.run.isolate",
    "models.catalog",
    "models.components.base",
    "models.components.weights",
    "datasets_lib.catalog",
    "datasets_lib.augment.catalog",
    "datasets_lib.discover",
]


def imports(source: str) -> set[str]:
    """Top-level packages a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found.add((node.module or "").partition(".")[0])
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", "") == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value).partition(".")[0])
    return found


def test_imports_sees_every_form_of_import():
    source = "import a.b\nfrom c.d import e\nimport_module('x')\nimportlib.import_module('h.i')\n"
    assert imports(source) == {"a", "c", "h"}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_respect_the_arrows(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        str(file.relative_to(ROOT)): sorted(bad)
        for file in files
        if (bad := imports(file.read_text()) & FORBIDDEN[package])
    }
    assert wrong == {}


def test_results_hold_no_code():
    assert list((ROOT / "results").rglob("*.py")) == []


@pytest.mark.parametrize("module", LIGHT)
def test_entry_modules_import_no_heavy_library(module):
    heavy = {"torch", "torchvision", "timm", "sklearn", "pandas", "matplotlib", "scipy"}
    code = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
