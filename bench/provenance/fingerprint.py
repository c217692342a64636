"""A hash over modules and everything they import from the same package, by syntax tree.

Comments, docstrings and formatting do not change it, nor does the version of Python. It reads
source files alone: nothing is imported, and no git is needed.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""Folder of the packages ``bench``, ``models`` and ``datasets_lib``."""

PACKAGES = frozenset({"bench", "models", "datasets_lib"})

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders of installed packages."""

_LAYOUT_ALONE = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of the syntax tree that differ between ways of writing the same code."""


@dataclass(frozen=True)
class Fingerprint:
    """What a set of modules consists of.

    Attributes:
        hash: Sixteen hex digits over all files and values.
        files: Hash by source file, relative to the folder of its package.
        values: Hash of the values that the modules are called with.
    """

    hash: str
    files: Mapping[str, str]
    values: str = ""


def fingerprint(
    modules: Iterable[str], values: object = None, without: Collection[str] = ()
) -> Fingerprint:
    """Return the fingerprint of modules and of what they import, directly or not.

    Imports are followed within the repository, within the top-level packages of ``modules``, and
    from a plugin to modules of the user's own, which are neither Python's nor installed.

    Args:
        modules: Dotted names, such as ``models.padim``.
        values: Data that belong to them; its ``repr`` must be the same in every process.
        without: Packages and modules that are left out, along with what only they import.
    """
    files = _files_of(frozenset(modules), tuple(without))
    value_hash = _sha256(repr(values))
    return Fingerprint(_sha256(repr((files, value_hash))), files, value_hash)


@cache
def _files_of(roots: frozenset[str], without: tuple[str, ...]) -> dict[str, str]:
    """Return the hash by file of modules and of what they import; many cases share them."""
    own = frozenset(PACKAGES | {name.partition(".")[0] for name in roots})
    files: dict[str, str] = {}
    pending, seen = sorted(roots), set(roots)
    while pending:
        module = pending.pop()
        file = _source_file(module)
        if file is None or _below(module, without):
            continue
        source = _read(file)
        if source.hash:
            files[_label(module, file)] = source.hash
        followed = own if module.partition(".")[0] in PACKAGES else own | _users_own(source.imports)
        for name in _imported_modules(source.imports, followed) - seen:
            seen.add(name)
            pending.append(name)
    return dict(sorted(files.items()))


def module_of(target: str | Callable[..., Any]) -> str:
    """Return the name of the module behind an import path ``module:name`` or a callable.

    >>> module_of("models.padim:build")
    'models.padim'
    """
    if isinstance(target, str):
        return target.partition(":")[0]
    return str(getattr(target, "__module__", None) or type(target).__module__)


def source_hash(module: ast.Module) -> str:
    """Return sixteen hex digits over a module's syntax tree; empty for one without code.

    >>> one, same, two = (ast.parse(text) for text in ("x = 1  # one", "x = (1)", "x = 2"))
    >>> source_hash(one) == source_hash(same) != source_hash(two)
    True
    """
    body = _statements(module.body)
    return _sha256(_text(body)) if body else ""


@dataclass(frozen=True)
class _Source:
    hash: str
    imports: frozenset[str]


@cache
def _read(file: Path) -> _Source:
    tree = ast.parse(file.read_bytes())
    body = _statements(tree.body)
    package = file.name == "__init__.py"
    imports = frozenset(_imports(body, _module_name(file), package))
    return _Source(source_hash(tree), imports)


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return statements without docstrings and other bare strings."""
    return [
        node
        for node in body
        if not (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
    ]


def _text(body: list[ast.stmt]) -> str:
    parts: list[str] = []
    _write(body, parts)
    return "".join(parts)


def _write(value: Any, parts: list[str]) -> None:
    """Append a text that represents a syntax tree.

    Empty fields are left out: new versions of Python add some.
    """
    if isinstance(value, ast.AST):
        parts.append(f"({type(value).__name__}")
        for name in value._fields:
            field = getattr(value, name, None)
            if name == "body" and isinstance(field, list):
                field = _statements(field)
            if field is not None and field != [] and name not in _LAYOUT_ALONE:
                parts.append(f" {name}=")
                _write(field, parts)
        parts.append(")")
    elif isinstance(value, list):
        parts.append("[")
        for item in value:
            _write(item, parts)
        parts.append("]")
    else:
        parts.append(repr(value))


def _imports(body: list[ast.stmt], module: str, package: bool) -> Iterator[str]:
    """Yield dotted names imported anywhere in a module, except for type checking."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            parent = parts[: len(parts) - node.level + package] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


@cache
def _users_own(names: frozenset[str]) -> frozenset[str]:
    """Return the top-level modules behind dotted names, without Python's and installed ones."""
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    paths = {top: _folder_of(top) or _single_file(top) for top in tops}
    return frozenset(
        top for top, path in paths.items() if path is not None and _INSTALLED.isdisjoint(path.parts)
    )


@cache
def _imported_modules(names: frozenset[str], own: frozenset[str]) -> frozenset[str]:
    """Return the modules of own packages behind dotted names, with the packages above them."""
    modules: set[str] = set()
    for name in names:
        parts = name.split(".")
        if parts[0] in own:
            above = (".".join(parts[: end + 1]) for end in range(len(parts)))
            modules |= {module for module in above if _source_file(module) is not None}
    return frozenset(modules)


@cache
def _source_file(module: str) -> Path | None:
    """Return the file of a module; None if it has none, like names within modules."""
    top, *rest = module.split(".")
    folder = ROOT if top in PACKAGES else _folder_of(top)
    if folder is None:
        return None if rest else _single_file(top)
    path = folder.joinpath(top, *rest)
    candidates = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


@cache
def _folder_of(package: str) -> Path | None:
    """Return the folder that holds an installed package; None for single files and others."""
    spec = _spec_of(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent


def _single_file(module: str) -> Path | None:
    """Return the source file of a module that is not a package; None if it has none."""
    spec = _spec_of(module)
    loaded = getattr(sys.modules.get(module), "__file__", None)
    file = loaded or (spec.origin if spec is not None else None)
    return Path(file) if file is not None and file.endswith(".py") else None


def _spec_of(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None


def _module_name(file: Path) -> str:
    """Return the dotted name of a file's module, starting at its top-level package."""
    parts = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _label(module: str, file: Path) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if file.name == "__init__.py" else f"{path}.py"


def _below(module: str, packages: Collection[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
