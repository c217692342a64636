"""Which samples a case trains, calibrates and tests on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.case import Case
from bench.protocol import Protocol
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.split import limit, split_calibration, split_labeled
from models.catalog import MODELS

Samples = tuple[Sample, ...]


@dataclass(frozen=True)
class Splits:
    """Samples of one category, or of several that one model is trained on.

    Attributes:
        fit: Images to train on.
        calibration: Normal images for the threshold.
        test: Images to evaluate on.
        held_out: Names of the images in ``fit`` that are kept from training.
        read: What the hash of the data covers.
        files: All training images of the category, used or not.
        has_masks: Whether every defective test image has a mask, by category; the name is empty
            for samples of one category.
    """

    fit: Samples
    calibration: Samples
    test: Samples
    held_out: frozenset[str]
    read: Samples
    files: tuple[Path, ...]
    has_masks: Mapping[str, bool]

    def below(self, category: str) -> "Splits":
        """Return the same samples with ``category/`` before each name."""

        def named(samples: Samples) -> Samples:
            return tuple(replace(s, name=f"{category}/{s.name}") for s in samples)

        return replace(
            self,
            fit=named(self.fit),
            calibration=named(self.calibration),
            test=named(self.test),
            held_out=frozenset(f"{category}/{name}" for name in self.held_out),
            read=named(self.read),
            has_masks={category: self.has_masks[""]},
        )


def split_samples(case: Case, category: Category, protocol: Protocol, share: int = 1) -> Splits:
    """Return the samples of a category that a case uses.

    Each replicate of a few-shot case has training images of its own, the same for every model.

    Args:
        case: The case.
        category: All samples of its category.
        protocol: Limits, and whether images calibrate.
        share: Number of categories that share the limits; the number of shots is per category.

    Raises:
        DatasetError: There are too few training images.
    """
    if case.shots and len(category.train) < case.shots:
        raise DatasetError(
            f"{case.id} trains on {case.shots} images of {case.data}: found "
            f"{len(category.train)}. Give a smaller number with --shots."
        )
    if case.shots:
        train = limit(category.train, case.shots, case.replicate)
    else:
        train = _at_most(_share(protocol.train_limit, share), category.train)
    test = _at_most(_share(protocol.test_limit, share), category.test)
    fit, calibration = _calibrated(category, train) if protocol.calibration else (train, ())
    read = (*train, *category.validation, *test)
    entry = MODELS[case.model]
    if entry.supervised:
        labeled, test = split_labeled(test)
        fit = (*fit, *labeled)
    held_out = split_calibration(fit)[1] if entry.holds_out else ()
    if entry.holds_out and not held_out:
        raise DatasetError(
            f"{entry.name} holds out training images of {case.data}: wanted at least two, "
            f"found {len(fit)}. {'Give --shots 2 or more.' if case.shots else 'Add normal ones.'}"
        )
    return Splits(
        fit=tuple(fit),
        calibration=tuple(calibration),
        test=tuple(test),
        held_out=frozenset(sample.name for sample in held_out),
        read=read,
        files=tuple(sample.image for sample in category.train),
        has_masks={"": category.has_masks},
    )


def case_samples(
    case: Case, categories: Sequence[str], list_category: Callable[[Case], Category], plan: Protocol
) -> Splits:
    """Return the samples of a case: of its category, or of all that one model is trained on.

    Args:
        case: The case.
        categories: Categories that one model is trained on; empty for a case of one category.
        list_category: Returns all samples of the category of a case.
        plan: Limits, and whether images calibrate.

    Raises:
        DatasetError: There are too few training images.
    """
    if not categories:
        return split_samples(case, list_category(case), plan)
    parts = []
    for name in categories:
        single = replace(case, category=name)
        splits = split_samples(single, list_category(single), plan, len(categories))
        parts.append(splits.below(name))
    return merged(parts)


def merged(parts: Sequence[Splits]) -> Splits:
    """Return the samples of all categories, one category after another."""
    return Splits(
        fit=tuple(sample for part in parts for sample in part.fit),
        calibration=tuple(sample for part in parts for sample in part.calibration),
        test=tuple(sample for part in parts for sample in part.test),
        held_out=frozenset().union(*(part.held_out for part in parts)),
        read=tuple(sample for part in parts for sample in part.read),
        files=tuple(file for part in parts for file in part.files),
        has_masks={name: own for part in parts for name, own in part.has_masks.items()},
    )


def label_problem(
    case: Case,
    categories: Sequence[str],
    list_category: Callable[[Case], Category],
    plan: Protocol,
    chosen: Splits,
) -> str:
    """Return why a case lacks the labeled defects that its model trains on, and what to do.

    Empty for a case that has them, each with its masks, and for a model that trains on none.

    Args:
        case: The case.
        categories: As for `case_samples`.
        list_category: As for `case_samples`.
        plan: As for `case_samples`.
        chosen: What `case_samples` returned.
    """
    labeled = _defects(chosen.fit)
    masked = sum(bool(sample.masks) for sample in labeled)
    if not MODELS[case.model].supervised or (labeled and masked == len(labeled)):
        return ""
    about = f"Models that train on labeled defects cannot use {case.data}"
    if labeled:
        return (
            f"{about}: wanted masks of the defects to train on ({len(labeled)}), found "
            f"{masked or 'none'}. Add masks, or take a model that trains on normal images alone."
        )
    without_limit = replace(plan, train_limit=None, test_limit=None)
    whole = case_samples(case, categories, list_category, without_limit)
    limited = bool(_defects(whole.fit))
    count = len(_defects(chosen.test))
    found = {0: "no defects", 1: "1 defect"}.get(count, f"{count} defects")
    found += " among the test images" + (f" of the profile {plan.profile}" if limited else "")
    if count > 1:
        found += ", no two of a kind" + (" in one category" if categories else "")
    todo = "Choose --profile standard, which uses all" if limited else "Add images of defects"
    return (
        f"{about}: half of each kind trains, so wanted two or more of a kind, found {found}. "
        f"{todo}, or take a model that trains on normal images alone."
    )


def _defects(samples: Samples) -> Samples:
    return tuple(sample for sample in samples if sample.defect is not None)


def _calibrated(category: Category, train: Samples) -> tuple[Samples, Samples]:
    """Split off images to calibrate on: the publisher's validation split, where there is one."""
    return (train, category.validation) if category.validation else split_calibration(train)


def _share(count: int | None, categories: int) -> int | None:
    return None if count is None else max(1, count // categories)


def _at_most(count: int | None, samples: Samples) -> Samples:
    return samples if count is None else limit(samples, count)
