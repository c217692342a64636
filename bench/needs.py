"""What cases need that may be missing: pretrained weights and datasets; imports no torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.case import ALL, Case
from bench.error_text import first_line
from bench.selection import all_cases
from bench.settings import Settings
from bench.studies import STUDIES
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset
from datasets_lib.download.network import unreachable
from models.catalog import MODELS, WEIGHTS
from models.components.weights import ResolvedWeights, WeightsMissingError, resolve


@dataclass(frozen=True)
class Weights:
    """Pretrained weights, present or missing.

    Attributes:
        tag: Tag in `models.catalog.WEIGHTS`.
        resolved: The file; None if it is missing or unreadable.
        offline: Why it cannot be downloaded; None if it can be, or need not be.
        problem: What is wrong with a file that is there; empty if nothing is.
    """

    tag: str
    resolved: ResolvedWeights | None
    offline: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Missing:
    """Something that keeps cases from running.

    Attributes:
        what: ``weights TAG`` or ``dataset NAME``.
        blocks: Number of blocked cases by study.
    """

    what: str
    blocks: Mapping[str, int]


def offered_cases(profile: str, datasets: Mapping[str, FoundDataset]) -> list[Case]:
    """Return the cases that a session with one replicate offers.

    Args:
        profile: Name in `bench.protocol.PROFILES`.
        datasets: Datasets on disk.
    """
    nowhere = Path()
    settings = Settings(profile, "cpu", (), (), nowhere, nowhere)
    return all_cases(settings, datasets)


def weights_of(case: Case) -> str | None:
    """Return the tag of the weights a case needs; None for a case from scratch."""
    return MODELS[case.model].weights if case.pretrained else None


def dataset_of(case: Case) -> str | None:
    """Return the name of the dataset whose files a case needs; None for an embedded dataset."""
    entry = DATASETS.get(case.dataset)
    return None if entry and entry.embedded else case.dataset


def textures_of(case: Case, datasets: Mapping[str, FoundDataset]) -> str | None:
    """Return the name of the dataset on disk whose pictures a case trains on as well."""
    return next((name for name in MODELS[case.model].auxiliary if name in datasets), None)


def without_textures(cases: Iterable[Case], datasets: Mapping[str, FoundDataset]) -> list[str]:
    """Return sentences about models that draw textures because their pictures are not on disk."""
    lacking = {
        case.model: MODELS[case.model].auxiliary
        for case in cases
        if MODELS[case.model].auxiliary and textures_of(case, datasets) is None
    }
    return [
        f"{model} trains on drawn textures in place of {' or '.join(names)}, which is not on disk"
        for model, names in lacking.items()
    ]


def look_for_weights(
    tags: Iterable[str], weights_dirs: Sequence[Path], *, probe: bool = True
) -> dict[str, Weights]:
    """Look for weights on disk; download nothing.

    Args:
        tags: Tags in `models.catalog.WEIGHTS`; may repeat.
        weights_dirs: Folders to search first.
        probe: Whether to find out if the publishers of missing weights can be reached; takes up
            to two seconds for all hosts together.
    """
    wanted = sorted(set(tags))

    def look(tag: str) -> Weights:
        try:
            return Weights(tag, resolve(tag, weights_dirs))
        except ValueError as error:
            return Weights(tag, None, "its file cannot be used", first_line(error))
        except WeightsMissingError:
            offline = unreachable(WEIGHTS[tag].url) if probe else "the network was not tried"
            return Weights(tag, None, offline)

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(wanted, pool.map(look, wanted), strict=True))


def fetch_weights(cases: Iterable[Case], weights_dirs: Sequence[Path]) -> dict[str, Weights]:
    """Return the weights that cases need; download missing ones where possible."""
    from datasets_lib.download.fetch import download_weights

    weights = look_for_weights(filter(None, map(weights_of, cases)), weights_dirs)
    for tag, entry in weights.items():
        if entry.resolved is None and entry.offline is None:
            try:
                weights[tag] = Weights(tag, resolve(tag, weights_dirs, download_weights))
            except WeightsMissingError:
                weights[tag] = Weights(tag, None, "its download failed")
    return weights


def missing_of(
    case: Case, datasets: Mapping[str, FoundDataset], weights: Mapping[str, Weights]
) -> list[str]:
    """Return what keeps a case from running; weights that a session downloads do not count."""
    missing = []
    tag = weights_of(case)
    if tag and weights[tag].resolved is None and weights[tag].offline is not None:
        missing.append(f"weights {tag}")
    name = dataset_of(case)
    if name:
        dataset = datasets.get(name)
        if dataset is None:
            missing.append(f"dataset {name}")
        elif case.category and case.category not in (*dataset.categories, ALL):
            missing.append(f"dataset {name}.{case.category}")
    return missing


def all_missing(
    cases: Iterable[Case], datasets: Mapping[str, FoundDataset], weights: Mapping[str, Weights]
) -> list[Missing]:
    """Return everything missing, sorted by the number of blocked cases."""
    blocks: dict[str, Counter[str]] = {}
    for case in cases:
        for what in missing_of(case, datasets, weights):
            blocks.setdefault(what, Counter()).update(
                study.name for study in STUDIES.values() if study.selects(case)
            )
    ranked = sorted(blocks.items(), key=lambda item: (-item[1].total(), item[0]))
    return [Missing(what, dict(counts)) for what, counts in ranked]
