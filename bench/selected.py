"""The items of a session that ``-k`` and ``-m`` select, and what the session says about them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from bench.case import Case
from bench.collected import Collected, keyword_guesses, not_datasets
from bench.extensions import silent_files
from bench.protocol import PROFILES, Profile
from bench.recorded_protocol import describe_shape
from models.catalog import MODELS


def selected_cases(items: Iterable[pytest.Item]) -> list[Case]:
    """Return the cases among the items of a session."""
    parameters = (getattr(getattr(item, "callspec", None), "params", {}) for item in items)
    return [values["case"] for values in parameters if isinstance(values.get("case"), Case)]


@contextmanager
def as_benchmarks(items: Iterable[pytest.Item]) -> Iterator[None]:
    """Let pytest-benchmark treat cases as benchmarks while it selects, for ``--benchmark-only``.

    It looks for the name of its fixture, which a case asks for only after it has succeeded.
    """
    lists: list[list[str]] = []
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if "bench_session" in names and "benchmark" not in names:
            names.append("benchmark")  # all cases share one list
            lists.append(names)
    yield
    for names in lists:
        names.remove("benchmark")


def header(config: pytest.Config, collected: Collected, cases: Iterable[Case]) -> list[str]:
    """Return lines that say what a session will do with these cases, and where."""
    settings = collected.settings
    profile = PROFILES[settings.profile]
    why = ""
    if not config.option.bench_profile:
        full = "; --profile standard for the full protocol" if profile.name == "smoke" else ""
        why = f" (the default on {settings.device.partition(':')[0]}{full})"
    shape = describe_shape(settings.image_size, settings.fit, settings.tiles, settings.overlap)
    if shape and not settings.image_size:
        shape = f"{profile.sizes}, {shape}"
    about = profile.describe(shape, settings.images_seen)
    if not settings.images_seen and "epochs" not in settings.changes:
        about += "".join(f"; {line}" for line in _other_budgets(profile, cases))
    where = "one child process per group" if settings.isolate else "inline"
    lines = [
        f"profile {profile.name}{why}: {about}",
        f"device {settings.device}, {where}, results in {settings.results_dir}",
    ]
    names = ", ".join(
        f"{name} ({len(dataset.categories)})" if dataset.categories else name
        for name, dataset in collected.datasets.items()
    )
    if settings.data_dirs:
        lines.append(f"datasets found: {names or 'none'}")
    lines += [*silent_files(settings.plugins), *not_datasets(collected)]
    return lines + keyword_guesses(config.option.keyword, collected)


def _other_budgets(profile: Profile, cases: Iterable[Case]) -> Iterator[str]:
    """Yield the budgets in images of models that have one of their own, with their names."""
    models: dict[int, list[str]] = {}
    for name in dict.fromkeys(case.model for case in cases if case.shots is None):
        entry = MODELS[name]
        seen = profile.images_seen(entry)
        if seen is not None and seen != profile.budget(entry.task).images_seen:
            models.setdefault(seen, []).append(name)
    for seen, names in models.items():
        yield f"{', '.join(names)}: {seen:,}"
