"""What cases need that may not be at hand: pretrained weights and datasets; imports no torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.case import Case
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
    """One set of weights, found or not.

    Attributes:
        tag: In `models.catalog.WEIGHTS`.
        resolved: The file; None where there is none, or none that can be read.
        trouble: Why there is none; empty if there is.
        offline: Why it cannot be downloaded, as half a sentence; None if it can, or is here.
    """

    tag: str
    resolved: ResolvedWeights | None
    trouble: str = ""
    offline: str | None = None


@dataclass(frozen=True)
class Missing:
    """Something that keeps cases from running.

    Attributes:
        what: ``weights TAG`` or ``dataset NAME``.
        blocks: Number of cases it keeps from running, by study.
    """

    what: str
    blocks: Mapping[str, int]


def offered_cases(profile: str, found: Mapping[str, FoundDataset]) -> list[Case]:
    """The cases that a session of one seed offers.

    Args:
        profile: Name in `bench.protocol.PROFILES`.
        found: Datasets at hand.
    """
    nowhere = Path()
    settings = Settings(profile, "cpu", (), (), nowhere, nowhere)
    return all_cases(settings, found)


def weights_of(case: Case) -> str | None:
    """Tag of the weights a case needs; None for one from scratch."""
    return MODELS[case.model].weights if case.pretrained else None


def dataset_of(case: Case) -> str | None:
    """Name of the dataset a case needs files of; None for an embedded one."""
    entry = DATASETS.get(case.dataset)
    return None if entry and entry.embedded else case.dataset


def look_for_weights(
    tags: Iterable[str], weights_dirs: Sequence[Path], *, probe: bool = True
) -> dict[str, Weights]:
    """Each set of weights, without downloading any.

    Args:
        tags: In `models.catalog.WEIGHTS`; repeats are looked for once.
        weights_dirs: Folders that may hold files.
        probe: Whether to find out if the publisher of a missing one can be reached; takes up
            to two seconds, all hosts at once.
    """
    wanted = sorted(set(tags))

    def look(tag: str) -> Weights:
        try:
            return Weights(tag, resolve(tag, weights_dirs))
        except ValueError as error:
            return Weights(tag, None, str(error), "the file that is there cannot be read")
        except WeightsMissingError as missing:
            offline = unreachable(WEIGHTS[tag].url) if probe else "no network was looked for"
            return Weights(tag, None, str(missing), offline)

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(wanted, pool.map(look, wanted), strict=True))


def fetch_weights(cases: Iterable[Case], weights_dirs: Sequence[Path]) -> dict[str, Weights]:
    """The weights that cases need, downloaded where they are not here and that is possible."""
    from datasets_lib.download.fetch import download

    def fetch(url: str, target: Path, sha256_prefix: str | None) -> None:
        download(url, target, checksum=f"sha256:{sha256_prefix}" if sha256_prefix else None)

    weights = look_for_weights(filter(None, map(weights_of, cases)), weights_dirs)
    for tag, one in weights.items():
        if one.resolved is None and one.offline is None:
            try:
                weights[tag] = Weights(tag, resolve(tag, weights_dirs, fetch))
            except WeightsMissingError as missing:
                weights[tag] = Weights(tag, None, str(missing), "its download failed")
    return weights


def missing_of(
    case: Case, found: Mapping[str, FoundDataset], weights: Mapping[str, Weights]
) -> list[str]:
    """What keeps a case from running; weights that download by themselves do not."""
    missing = []
    tag = weights_of(case)
    if tag and weights[tag].resolved is None and weights[tag].offline is not None:
        missing.append(f"weights {tag}")
    name = dataset_of(case)
    if name:
        dataset = found.get(name)
        if dataset is None:
            missing.append(f"dataset {name}")
        elif case.category and case.category not in dataset.categories:
            missing.append(f"dataset {name}.{case.category}")
    return missing


def all_missing(
    cases: Iterable[Case], found: Mapping[str, FoundDataset], weights: Mapping[str, Weights]
) -> list[Missing]:
    """Everything missing, what blocks the most cases first."""
    blocks: dict[str, Counter[str]] = {}
    for case in cases:
        for what in missing_of(case, found, weights):
            blocks.setdefault(what, Counter()).update(
                study.name for study in STUDIES.values() if study.selects(case)
            )
    ranked = sorted(blocks.items(), key=lambda item: (-item[1].total(), item[0]))
    return [Missing(what, dict(counts)) for what, counts in ranked]
