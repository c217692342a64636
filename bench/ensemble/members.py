"""Finished runs that can join an ensemble: same test images, scores on one scale."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.aggregate.frame import comparable_runs
from bench.metrics.standardization import center_and_spread, standardized
from bench.record import Record
from bench.report.finished_run import ArraysError, FinishedRun, load_arrays
from bench.study import first_head, task_of
from models.catalog import MODELS


class NoMemberError(Exception):
    """A run cannot join an ensemble; the message says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Member:
    """A run whose scores are on the scale of its held-out normal images.

    Attributes:
        run: The finished run.
        names: Names of the test images.
        labels: ``(N,)`` booleans, True for defects.
        scores: ``(N,)`` float64: spreads above the median of held-out normal images.
        center: That median, on the raw scale.
        spread: That spread, the median absolute deviation as a standard deviation.
        held_out: Number of held-out normal images.
    """

    run: FinishedRun
    names: tuple[str, ...]
    labels: Tensor
    scores: Tensor
    center: float
    spread: float
    held_out: int

    @property
    def record(self) -> Record:
        """Return the run's record."""
        return self.run.record

    @property
    def name(self) -> str:
        """Return model and recipe, and anything unusual about the case."""
        case = self.record.case
        unusual = [case.augmentation] if case.augmentation != "default" else []
        entry = MODELS.get(case.model)
        if not case.pretrained and (entry is None or entry.weights):
            unusual.append("scratch")
        return " ".join([case.variant, *unusual])

    @property
    def family(self) -> str:
        """Return the family of its model; a model without an entry is a family of its own."""
        entry = MODELS.get(self.record.case.model)
        return entry.family if entry else self.record.case.model

    @property
    def head(self) -> str:
        """Return the head that ranks."""
        return first_head(self.record)

    @property
    def latency_ms(self) -> float | None:
        """Return the median time to score one image; None where it was not measured."""
        return self.record.measurements.get("latency_p50_ms")

    @property
    def images_hash(self) -> str:
        """Return a hash over names and labels of the test images, and contents of all images."""
        contents = str(self.record.fingerprints.get("images_sha256", ""))
        text = "\n".join([*self.names, contents]).encode("utf-8", "surrogateescape")
        return hashlib.sha256(text + bytes(self.labels.tolist())).hexdigest()


@dataclass(frozen=True)
class Panel:
    """The members that were tested on the same images, under one profile on one kind of machine.

    Attributes:
        data: Dataset and category, with the number of shots where it was limited.
        profile: Profile of all runs.
        environment: Class of machine.
        members: Runs that can join an ensemble.
        left_out: Why others cannot, by name.
    """

    data: str
    profile: str
    environment: str
    members: tuple[Member, ...]
    left_out: Mapping[str, str]

    @property
    def title(self) -> str:
        """Return data and profile."""
        return f"{self.data} (profile {self.profile})"

    @property
    def split_by(self) -> str:
        """Return the expression of names that stay in one half; empty for none."""
        return str(self.members[0].record.fingerprints.get("split_by", ""))


def panels(runs: Iterable[FinishedRun]) -> list[Panel]:
    """Return the newest finished anomaly runs by data, profile and machine.

    Only the first of a configuration's replicates joins: an ensemble combines different models. A
    model for all categories cannot join, because its categories share no scale.
    """
    by_record = {id(run.record): run for run in runs}
    found = []
    for section in comparable_runs(run.record for run in by_record.values()):
        groups: dict[str, dict[str, Record]] = {}
        for record in section.records:
            if task_of(record) != "anomaly" or record.categories:
                continue
            case = record.case
            data = f"{case.data}, {case.shots} shots" if case.shots else case.data
            first = groups.setdefault(data, {}).setdefault(case.configuration, record)
            if case.replicate < first.case.replicate:
                groups[data][case.configuration] = record
        for data, by_configuration in groups.items():
            chosen = [by_record[id(record)] for record in by_configuration.values()]
            found.append(_panel(data, section.profile, section.environment, chosen))
    return sorted(found, key=lambda panel: panel.title)


def _panel(data: str, profile: str, environment: str, runs: Iterable[FinishedRun]) -> Panel:
    members, left_out = [], {}
    for run in runs:
        try:
            members.append(load_member(run))
        except NoMemberError as error:
            left_out[run.record.key.id] = str(error)
    usual = Counter(member.images_hash for member in members).most_common(1)
    for member in list(members):
        if member.images_hash != usual[0][0]:
            members.remove(member)
            left_out[member.record.key.id] = (
                f"its {len(member.names)} test images or its training images differ from those of "
                "most runs"
            )
    return Panel(data, profile, environment, tuple(members), left_out)


def load_member(run: FinishedRun) -> Member:
    """Return a run with its scores on the scale of its held-out normal images.

    Raises:
        NoMemberError: It has no such images, or its scores are gone or have no spread there.
    """
    arrays = read_arrays(run, "scores")
    head = first_head(run.record)
    if f"calibration.{head}" not in arrays:
        why = (
            f"no scores of held-out normal images, which runs under profile "
            f"{run.record.key.profile} lack"
            if not run.record.protocol.get("calibration", True)
            else "no scores of held-out normal images, because it is from an earlier version: "
            "run it again with --rerun"
        )
        raise NoMemberError(why)
    normal = torch.from_numpy(arrays[f"calibration.{head}"])
    center, spread = center_and_spread(normal)
    if not spread:
        raise NoMemberError(
            f"its {len(normal)} held-out normal images have one score, {center:g}: no spread"
        )
    return Member(
        run,
        tuple(arrays["names"].tolist()),
        torch.from_numpy(arrays["labels"]).bool(),
        standardized(torch.from_numpy(arrays[f"scores.{head}"]), center, spread),
        center,
        spread,
        len(normal),
    )


def read_arrays(run: FinishedRun, artifact: str) -> dict[str, Any]:
    """Return the arrays of one of a run's files.

    Raises:
        NoMemberError: It is missing or damaged.
    """
    path = run.path_of(artifact)
    try:
        arrays = load_arrays(path)
    except ArraysError as error:
        raise NoMemberError(f"its {artifact} in {path} cannot be read ({error})") from error
    if arrays is None:
        raise NoMemberError(f"its {artifact} are missing: {path or 'the record names none'}")
    return arrays
