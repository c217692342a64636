"""The project's import rules, checked in the sources themselves."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
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
    "bench.__main__",
    "bench.extensions",
    "bench.interface",
    "bench.metrics.catalog",
    "bench.plots",
    "bench.plugin",
    "bench.report.leaderboard",
    "bench.run.inputs",
    "bench.run.isolate",
    "bench.studies",
    "models.catalog",
    "models.components.weights",
    "datasets_lib.augment.catalog",
    "datasets_lib.catalog",
    "datasets_lib.discover",
]
HEAVY = {"torch", "torchvision", "timm", "sklearn", "pandas", "matplotlib", "scipy"}


@cache
def modules():
    """Module name by source file, without the tests."""
    files = (file for package in FORBIDDEN for file in (ROOT / package).rglob("*.py"))
    names = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return {file: name.removesuffix(".__init__") for file, name in sorted(names.items())}


def imported_modules(source):
    """Dotted names that a source imports anywhere in it, except for type checking."""
    names = set()
    pending = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        pending.extend(ast.iter_child_nodes(node))
    return names


def imports():
    """Modules of the project that each module imports."""
    known = set(modules().values())
    graph = {}
    for file, name in modules().items():
        dotted = imported_modules(file.read_text())
        targets = {full if full in known else full.rpartition(".")[0] for full in dotted}
        graph[name] = (targets & known) - {name}
    return graph


def room(module):
    """A folder below a top-level package counts as one room, any other module as its own."""
    return ".".join(module.split(".")[:2])


def test_imported_modules_sees_every_form():
    source = (
        "import a.b\nfrom c.d import e\ndef f():\n    import g\nif TYPE_CHECKING:\n    import h\n"
    )
    assert imported_modules(source) == {"a.b", "c.d.e", "g"}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_nothing_above_them(package):
    wrong = {
        name: sorted(above)
        for file, name in modules().items()
        if name.partition(".")[0] == package
        if (above := {n.partition(".")[0] for n in imported_modules(file.read_text())})
        & FORBIDDEN[package]
    }
    assert wrong == {}


def check_no_cycle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_modules_do_not_import_each_other_in_a_circle():
    graph = imports()
    assert len(graph) > 200
    check_no_cycle(graph)


def test_rooms_do_not_import_each_other_in_a_circle():
    graph = {}
    for name, targets in imports().items():
        graph.setdefault(room(name), set()).update({room(t) for t in targets} - {room(name)})
    check_no_cycle(graph)


def test_modules_of_tests_have_names_of_their_own():
    """Pytest imports them by name alone, whatever folder they are in."""
    names = [file.name for file in (ROOT / "tests").rglob("*.py")]
    assert [name for name in set(names) - {"conftest.py"} if names.count(name) > 1] == []


def test_results_hold_no_code():
    assert list((ROOT / "results").rglob("*.py")) == []


@pytest.mark.parametrize("module", LIGHT)
def test_entry_modules_import_no_heavy_library(module):
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
