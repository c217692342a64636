"""Resolution of what a case needs, in the parent process and without torch."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from bench.case import ALL, Case
from bench.protocol import PROFILES, Protocol, resolve, shape_problem
from bench.provenance.case_code import case_code
from bench.provenance.commit import current_commit
from bench.record import Key
from bench.remedy import dataset_remedy
from bench.run.copies import (
    copied_names,
    copied_samples,
    copies_remark,
    labeled_copies_remark,
)
from bench.run.job import (
    CaseSkipped,
    Inputs,
    Job,
    LabeledInputs,
    RecipeError,
    WeightsError,
    seed_of,
)
from bench.run.read_hashes import ReadHashes
from bench.run.readers import read_dataset
from bench.run.recent import Recent
from bench.run.samples import Samples, case_samples, label_problem
from bench.settings import Settings
from datasets_lib.batches.labeled import contents
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset
from datasets_lib.download.network import unreachable
from datasets_lib.entry import Reader
from datasets_lib.images.bit_depth import bits_advice, bits_of_files
from datasets_lib.images.decode import set_pixel_limit
from datasets_lib.layouts.category import Category, DatasetError, check_category
from datasets_lib.layouts.classification import Classification, FileSplit
from datasets_lib.layouts.split import grouped_by
from datasets_lib.resolve import resolve_callable
from models.catalog import MODELS, WEIGHTS, ModelEntry
from models.components.weights import ResolvedWeights, WeightsMissingError, file_sha256
from models.components.weights import resolve as resolve_weights

Generator = Callable[[str, Path], Path]


@dataclass(frozen=True)
class Finder:
    """Finds a case's inputs among the datasets discovered at collection.

    Attributes:
        settings: Options of the session.
        datasets: Discovered datasets by name.
        layers: Layers that cases of the session tap, by the tag of the backbone's weights.
    """

    settings: Settings
    datasets: dict[str, FoundDataset]
    layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    _remarks: dict[str, str] = field(default_factory=dict)
    _listed: dict[tuple[str, str | None], Category] = field(default_factory=dict)
    _in_few_files: dict[str, LabeledInputs] = field(default_factory=dict)
    _labeled_sets: Recent[str, LabeledInputs] = field(default_factory=Recent)

    def protocol(self, case: Case) -> Protocol:
        """Return the case's protocol.

        Raises:
            RecipeError: The recipe cannot be changed as the settings ask.
        """
        native_size = DATASETS[case.dataset].image_size if case.dataset in DATASETS else None
        try:
            return resolve(
                MODELS[case.model],
                case.recipe,
                PROFILES[self.settings.profile],
                augmentation=case.augmentation,
                precision=self.settings.precision,
                pretrained=case.pretrained,
                native_size=native_size,
                images_seen=self.settings.images_seen,
                image_size=self.settings.image_size,
                shots=case.shots,
                multi_class=self._is_multi_class(case),
                fit=self.settings.fit,
                tiles=self.settings.tiles,
                overlap=self.settings.overlap,
                changes=self.settings.changes,
                normalize=self.settings.normalize,
                seed_base=self.settings.seed_base,
                resumed_from=self._resumed_from,
            )
        except ValueError as error:
            raise RecipeError(
                f"Recipe '{case.recipe}' of {case.model} cannot be changed like this. {error}"
            ) from None

    @cached_property
    def _resumed_from(self) -> str:
        file = self.settings.resume_from
        return "" if file is None else file_sha256(file)[:16]

    def job(self, case: Case) -> Job:
        """Everything a case needs.

        Raises:
            CaseSkipped: Data, labels of defects or weights are missing.
            DatasetError: The data are there but cannot be used.
            RecipeError: The recipe cannot be changed as the settings ask, or the model takes no
                images of the protocol's shape.
            WeightsError: The weights are there but cannot be used.
        """
        protocol = self.protocol(case)
        if problem := shape_problem(MODELS[case.model], protocol):
            raise RecipeError(problem)
        weights = self._weights(case)
        if MODELS[case.model].task == "classification":
            inputs: Inputs | LabeledInputs = self._labeled(case, weights)
        else:
            inputs = self._anomaly(case, protocol, weights)
        key = Key(
            id=case.id,
            profile=protocol.profile,
            recipe=protocol.hash,
            data=inputs.data_hash,
            weights=weights.sha256 if weights else "random",
        )
        return Job(
            case=case,
            protocol=protocol,
            inputs=inputs,
            key=key,
            seed=seed_of(case, self.settings.seed_base),
            settings=self.settings,
            code=case_code(case, self._reader(case)),
            commit=current_commit(),
            layers=self.layers.get(MODELS[case.model].weights or "", ()),
        )

    def has_data(self, case: Case) -> bool:
        """Return whether a case's dataset was found or needs no files; reads none."""
        entry, dataset = DATASETS.get(case.dataset), self.datasets.get(case.dataset)
        if entry and (entry.generator or entry.embedded):
            return True
        if dataset is None:
            return False
        return case.category in (None, ALL, *dataset.categories)

    def unresolved_key(self, case: Case) -> Key:
        """Return the key of a case that failed before its data or weights could be read."""
        try:
            recipe = self.protocol(case).hash
        except RecipeError:
            recipe = "unresolved"
        return Key(case.id, self.settings.profile, recipe, "unread", "unread")

    def _anomaly(self, case: Case, protocol: Protocol, weights: ResolvedWeights | None) -> Inputs:
        entry = MODELS[case.model]
        names = self._categories(case)
        with grouped_by(self.settings.split_by):
            whole = case_samples(case, names, self._category, protocol)
            problem = label_problem(case, names, self._category, protocol, whole)
        if problem:
            raise CaseSkipped(problem)
        hashes = self._hashes_of(entry, whole.read)
        equal = self._hashes.equal_images(whole.read)
        copied = copied_samples(equal, (*whole.fit, *whole.calibration), whole.test)
        copies = copies_remark(case.data, copied, whole.test)
        return Inputs(
            fit=whole.fit,
            calibration=whole.calibration,
            test=whole.test,
            has_masks=whole.has_masks,
            data_hash=hashes["data_sha256"],
            images_hash=hashes["images_sha256"],
            weights=weights,
            held_out=whole.held_out,
            supervised=entry.supervised,
            textures=self._textures(entry),
            categories=names,
            remark="; ".join(filter(None, (self._remark(case.dataset, whole.files), copies))),
            copied=len(copied),
            first_hashes=self._first_hashes(case, names, protocol),
        )

    def _first_hashes(
        self, case: Case, categories: tuple[str, ...], protocol: Protocol
    ) -> dict[str, str]:
        """Return the hashes of the first replicate, where this one has other training images."""
        if not case.shots or case.replicate == 0:
            return {}
        with grouped_by(self.settings.split_by):
            first = case_samples(replace(case, replicate=0), categories, self._category, protocol)
        return self._hashes_of(MODELS[case.model], first.read)

    def _hashes_of(self, entry: ModelEntry, read: Samples) -> dict[str, str]:
        return self._hashes.of_case(
            read,
            supervised=entry.supervised,
            auxiliary=bool(entry.auxiliary),
            textures=self._textures(entry),
        )

    def _textures(self, entry: ModelEntry) -> FoundDataset | None:
        """Return the set of textures that a model trains with; None if it takes or finds none."""
        return next((self.datasets[n] for n in entry.auxiliary if n in self.datasets), None)

    def _is_multi_class(self, case: Case) -> bool:
        """Return whether a case is one model for all categories.

        A dataset that has its own category named `ALL` is read like any other.
        """
        return case.category == ALL and ALL not in self._names(case.dataset)

    def _names(self, dataset: str) -> tuple[str, ...]:
        """Return the names of a dataset's categories: those on disk, or else the catalog's."""
        entry, found = DATASETS.get(dataset), self.datasets.get(dataset)
        return tuple(found.categories) if found else entry.categories if entry else ()

    def _categories(self, case: Case) -> tuple[str, ...]:
        """Return the categories that one model is trained on; none where the case has one.

        Raises:
            CaseSkipped: The dataset is missing, or has fewer than two categories on disk.
        """
        if not self._is_multi_class(case):
            return ()
        entry, names = DATASETS.get(case.dataset), self._names(case.dataset)
        generated = entry is not None and entry.generator is not None
        if case.dataset not in self.datasets and not generated:
            raise self._skip(case.dataset, _place(case.dataset, names[0] if names else None))
        if len(names) < 2:
            raise CaseSkipped(
                f"{case.data} trains one model for all categories: wanted at least two, found "
                f"{', '.join(names) or 'none'}. Add categories, or leave out --multi-class."
            )
        return names

    def _remark(self, dataset: str, files: Sequence[Path]) -> str:
        """Return what is unusual about a dataset's images, determined once."""
        if dataset not in self._remarks:
            bits = None
            if self.settings.bits == 16 and files:
                set_pixel_limit(self.settings.max_megapixels)
                with suppress(DatasetError):  # a case that reads the file says so
                    bits = bits_of_files(files)
            self._remarks[dataset] = f"{dataset}: {bits_advice(bits)}" if bits else ""
        return self._remarks[dataset]

    def _labeled(self, case: Case, weights: ResolvedWeights | None) -> LabeledInputs:
        inputs = self._in_few_files.get(case.dataset)
        if inputs is None:
            inputs = self._labeled_sets.get(case.dataset, lambda: self._labeled_set(case))
        return replace(inputs, weights=weights)

    def _labeled_set(self, case: Case) -> LabeledInputs:
        """Return what all cases of a classification set read, without weights."""
        root, reader = self._labeled_source(case)
        dataset: Classification = read_dataset(reader, case.dataset, root)
        parts = [contents(part, self._hashes.files) for part in (dataset.train, dataset.test)]
        both = "".join(part.hash for part in parts)
        copied = copied_names(parts[0].images, dataset.test.names, parts[1].images)
        copies = labeled_copies_remark(case.data, copied, len(dataset.test))
        train = dataset.train
        files = [s.image for s in train.samples] if isinstance(train, FileSplit) else []
        inputs = LabeledInputs(
            root=root,
            reader=reader,
            images={"fit": len(dataset.train), "test": len(dataset.test)},
            data_hash=self._hashes.with_options(hashlib.sha256(both.encode()).hexdigest()),
            weights=None,
            remark="; ".join(filter(None, (self._remark(case.dataset, files), copies))),
            copied=len(copied),
        )
        if not isinstance(train, FileSplit):  # all pixels are hashed, and nobody edits such files
            self._in_few_files[case.dataset] = inputs
        return inputs

    def _labeled_source(self, case: Case) -> tuple[Path, Reader]:
        """Return the folder of a classification set, and the reader of its layout."""
        if dataset := self.datasets.get(case.dataset):
            return dataset.root, dataset.reader
        entry = DATASETS.get(case.dataset)
        if entry and entry.embedded:
            return Path(), entry.reader
        raise self._skip(case.dataset, _place(case.dataset))

    def _reader(self, case: Case) -> Reader:
        """Return the reader of a case's dataset, which was found or is generated."""
        dataset = self.datasets.get(case.dataset)
        return dataset.reader if dataset else DATASETS[case.dataset].reader

    def _skip(self, missing: str, place: str) -> CaseSkipped:
        dirs = self.settings.data_dirs
        looked = f"looked in: {', '.join(map(str, dirs))}" if dirs else "no --data-dir was given"
        message = (
            f"{missing} was not found ({looked}). Get it: "
            f"{dataset_remedy(missing.partition('.')[0])}, or put it at {place} and name DIR with "
            "--data-dir."
        )
        return CaseSkipped(message, f"dataset {missing}", looked)

    def _weights(self, case: Case) -> ResolvedWeights | None:
        tag = MODELS[case.model].weights
        if not case.pretrained or tag is None:
            return None
        from datasets_lib.download.fetch import download_weights

        try:
            return resolve_weights(tag, self.settings.weights_dirs, download_weights)
        except WeightsMissingError as missing:
            why = unreachable(WEIGHTS[tag].url) or "their download failed"
            raise CaseSkipped(str(missing), f"weights {tag}", why) from None
        except ValueError as error:
            raise WeightsError(str(error)) from None

    @cached_property
    def _hashes(self) -> ReadHashes:
        return ReadHashes(self.settings)

    def _category(self, case: Case) -> Category:
        """Return the samples of a case's category, listed once."""
        place = case.dataset, case.category
        if place not in self._listed:
            self._listed[place] = self._list(case)
        return self._listed[place]

    def _list(self, case: Case) -> Category:
        entry = DATASETS.get(case.dataset)
        if entry and entry.generator:
            generate: Generator = resolve_callable(entry.generator)
            root = self.settings.cache_dir / "generated" / f"{entry.name}-{entry.version}"
            try:
                path = generate(case.category or "", root)
            except OSError as error:
                raise DatasetError(
                    f"The generated set {case.data} could not be written to {root}: {error}. Free "
                    "some disk space, or name another folder with --cache-dir."
                ) from error
            reader = entry.reader
        else:
            path = self._folder(case)
            reader = self.datasets[case.dataset].reader
        with grouped_by(self.settings.split_by):
            category: Category = read_dataset(
                reader, case.data, case.dataset, case.category or "", path
            )
        check_category(category, case.data)
        for split, samples in (("training", category.train), ("test", category.test)):
            if not samples:
                raise DatasetError(
                    f"{case.data} at {path} has no {split} images: wanted at least one. Add images "
                    "or fix the reader of its layout."
                )
        return category

    def _folder(self, case: Case) -> Path:
        dataset = self.datasets.get(case.dataset)
        if dataset and case.category and case.category in dataset.categories:
            return dataset.categories[case.category]
        missing = case.data if dataset else case.dataset
        # One reason for all categories of a missing set, so that pytest folds them into a line.
        whole = not dataset and case.dataset in DATASETS
        category = DATASETS[case.dataset].categories[0] if whole else case.category
        raise self._skip(missing, _place(case.dataset, category))


def _place(dataset: str, category: str | None = None) -> str:
    """Return where the folder of a dataset or of a category is expected."""
    entry = DATASETS.get(dataset)
    one_folder = entry is not None and entry.package  # its table lists the images of all categories
    return f"DIR/{dataset}" if one_folder or not category else f"DIR/{dataset}/{category}"


def tapped_layers(cases: Iterable[Case]) -> dict[str, tuple[int, ...]]:
    """Return the backbone layers that cases tap, by the tag of the weights."""
    layers: dict[str, set[int]] = {}
    for case in cases:
        entry = MODELS[case.model]
        layers.setdefault(entry.weights or "", set()).update(entry.layers)
    return {tag: tuple(sorted(numbers)) for tag, numbers in layers.items()}
