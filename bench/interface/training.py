"""`train`: from names to records and files, by the runner that benchmark sessions use."""

import gc
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.case import ALL, Case
from bench.changes import checked_changes
from bench.extensions import ExtensionError, load_extensions
from bench.finished import Finished
from bench.interface.cases import AvailableDatasets, Names, Variant, cases_of
from bench.interface.console import Console
from bench.interface.defaults import Globals, changed, get_globals, settings_of
from bench.interface.errors import TrainingError
from bench.interface.events import EventWriter
from bench.interface.outputs import output_folder, write_outputs
from bench.interface.words import in_words
from bench.provenance.currency import origin
from bench.record import Record
from bench.remedy import remedy
from bench.run.inputs import Finder, tapped_layers
from bench.run.job import CaseSkipped, Job, RecipeError, WeightsError
from bench.store import Store, StoreError
from bench.threads import spin_briefly
from datasets_lib.discover import available_datasets
from datasets_lib.images.decode import kept_pixel_limit
from datasets_lib.images.geometry import FITS, Fit
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import folder_id
from datasets_lib.paths import absolute_path
from models.components.image_size import image_size

if TYPE_CHECKING:
    from bench.run.inline import InlineRunner

_MAX_PROBLEMS = 5
_MIN_SIZE = 16

_runner: "InlineRunner | None" = None


def train(
    dataset_type: Names,
    category: Names | None = None,
    model_type: Names = "",
    *,
    img_size: int | tuple[int, int] | None = None,
    fit: Fit = "squash",
    tiles: tuple[int, int] | None = None,
    overlap: int = 0,
    normalize: bool = True,
    resume_from: str | Path | None = None,
    keep_state: bool = False,
    recipe: str = "baseline",
    augmentation: str = "default",
    pretrained: bool | None = None,
    replicate: int = 0,
    shots: int | None = None,
    multi_class: bool = False,
    rerun: bool = False,
    **options: Any,
) -> Record | list[Record]:
    """Train models, evaluate them, and leave their files in the output folder.

    A call does what a benchmark session does with the same cases, and gives the same records. A
    case whose last run finished with the same code and options is not trained again.

    Args:
        dataset_type: Id of a dataset, such as ``mvtec`` or the name of a folder of yours, or
            several. ``-`` and ``_`` are the same in all ids.
        category: Category, several, or ``all`` for each of them. It may be left out where a dataset
            has one category or none.
        model_type: Model, several, or ``all``; a recipe may follow a dot: ``rd_resnet18.same``.
        img_size: Side of the images in pixels, or height and width; None means the model's own.
        fit: What to do with images of another aspect ratio: ``squash`` them, or keep their ratio
            and ``pad`` or ``crop`` them.
        tiles: Rows and columns of tiles of ``img_size`` that an image is cut into; None: no tiles.
        overlap: Pixels that neighboring tiles share.
        normalize: Whether a frozen backbone normalizes images as its weights want it. Models
            without one see images in [0, 1] either way.
        resume_from: File to resume from: what ``keep_state`` saved, as if training had not ended
            except that early stopping counts anew, or a saved model, with a new optimizer. An
            interrupted call needs none: repeating it resumes where it stopped.
        keep_state: Whether the state of the training is kept, to resume from it later.
        recipe: Name of a recipe, such as ``tuned``.
        augmentation: Name of an augmentation of the training images.
        pretrained: Whether backbones start from their weights; None means where weights exist.
        replicate: Number that is added to the seed; with ``shots``, each has images of its own.
        shots: Number of training images; None means all of them.
        multi_class: Whether ``all`` means one model for all categories.
        rerun: Whether finished cases are trained again.
        options: Fields of the recipe, such as ``num_epochs``, ``batch_size``, ``lr``,
            ``target_loss`` and ``patience`` (see `models.catalog.Recipe`), and fields of `Globals`
            for this call alone.

    Returns:
        The record of one case, or the records of several, in the order of the names. One of
        several may have failed: its ``status`` says so.

    Raises:
        TrainingError: Something is unknown, missing or impossible, in which case nothing was
            trained; or the only case failed.
    """
    names = [name for name in options if name in Globals.__dataclass_fields__]
    chosen = changed(get_globals(), {name: options.pop(name) for name in names})
    variant = Variant(recipe, augmentation, pretrained, replicate, shots, multi_class)
    if shots is not None and not _is_number(shots, 1):
        raise TrainingError(
            f"shots: wanted a number of training images, at least 1, or None for all of them; "
            f"found {shots!r}."
        )
    session = _Session(
        chosen,
        options,
        image_size=img_size,
        fit=fit,
        tiles=tiles,
        overlap=overlap,
        normalize=normalize,
        resume_from=None if resume_from is None else absolute_path(Path(resume_from)),
        keep_state=keep_state,
        rerun=rerun,
    )
    with kept_pixel_limit():
        records = session.run(dataset_type, category, model_type, variant)
    if not _asks_for_one(dataset_type, category, model_type, multi_class=multi_class):
        return records
    if records[0].status != "ok":
        message = (records[0].error or {}).get("message", "")
        raise TrainingError(f"{records[0].key.id}: {records[0].outcome}. {in_words(message)}")
    return records[0]


def train_models(
    dataset_type: Names, categories: Names | None, models: Names, **options: Any
) -> list[Record]:
    """Train every model on every category; see `train` for the arguments."""
    records = train(dataset_type, categories, models, **options)
    return records if isinstance(records, list) else [records]


def clear_memory() -> None:
    """Free the images, features and device memory that trainings keep for the next one."""
    global _runner
    if _runner is not None:
        _runner.close()
        _runner = None
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Session:
    """The cases of one call."""

    def __init__(self, chosen: Globals, recipe_fields: Mapping[str, Any], **options: Any) -> None:
        self._chosen = chosen
        try:
            changes = checked_changes(recipe_fields)
        except ValueError as error:
            raise TrainingError(str(error)) from None
        _check_options(options)
        size, tiles = options["image_size"], options["tiles"]
        if size is not None and not isinstance(size, int):
            options["image_size"] = image_size(*size)
        options["tiles"] = None if tiles is None else tuple(tiles)
        self._settings = settings_of(chosen, changes=changes, **options)
        self._store = Store(self._settings.runs_dir)

    def run(
        self, datasets: Names, categories: Names | None, models: Names, variant: Variant
    ) -> list[Record]:
        """Return a record for every case."""
        settings = self._settings
        spin_briefly(settings.device)
        try:
            load_extensions(settings.plugins)
            found = available_datasets(settings.data_dirs)
        except (ExtensionError, DatasetError) as error:
            raise TrainingError(in_words(str(error))) from None
        cases = cases_of(
            datasets, categories, models, variant, AvailableDatasets(found, settings.data_dirs)
        )
        finder = Finder(settings, found, tapped_layers(cases))
        jobs = _jobs(finder, cases)
        if settings.resume_from is not None:
            _check_resumable(jobs)
        console = Console(len(jobs), verbose=self._chosen.verbose)
        finished = Finished(self._store)
        records = [self._one(_renewed(job, finder), finished, console) for job in jobs]
        console.close(records)
        return records

    def _one(self, job: Job, finished: Finished, console: Console) -> Record:
        console.begin(job)
        record = self._finished(job, finished)
        if record is not None:
            console.found(record, origin(record))
        else:
            record = self._train(job, console)
        folder = None
        if record.status == "ok":
            try:
                folder = write_outputs(record, self._settings.results_dir)
            except OSError as error:
                raise TrainingError(
                    f"The files of {job.case.id} could not be written: {error}. Its record is "
                    "safe. Free some disk space or choose another output_dir."
                ) from error
        console.end(record, folder)
        return record

    def _finished(self, job: Job, finished: Finished) -> Record | None:
        """Return the valid record of a job whose files exist."""
        if self._settings.rerun:
            return None
        record, why = finished.look_up(job)
        if record is None or why is not None:
            return None
        files = [self._settings.results_dir / path for path in record.artifacts.values()]
        wanted = {"model"}
        if self._settings.keep_state and job.protocol.recipe.optimizer != "none":
            wanted.add("state")
        there = all(file.exists() for file in files) and wanted <= record.artifacts.keys()
        return record if there else None

    def _train(self, job: Job, console: Console) -> Record:
        events = None
        if self._chosen.tensorboard:
            folder = self._settings.results_dir / output_folder(job.case) / "tensorboard"
            events = EventWriter(folder, job.protocol.recipe.batch_size)

        def report(phase: str, info: dict[str, Any]) -> None:
            console.report(phase, info)
            if events is not None:
                events.report(phase, info)

        self._store.keep_code(job.code)
        try:
            record = _the_runner().run(job, report)
        except KeyboardInterrupt:
            with suppress(StoreError):
                self._store.append(job.failed_record("interrupted", "Interrupted by the user."))
            raise
        if record.status == "skipped":
            raise TrainingError(in_words((record.error or {}).get("message", "")))
        self._append(record)
        if events is not None and record.status == "ok":
            events.finish(record)
        return record

    def _append(self, record: Record) -> None:
        try:
            self._store.append(record)
        except StoreError as error:
            raise TrainingError(in_words(str(error))) from None


def _asks_for_one(
    datasets: Names, categories: Names | None, models: Names, *, multi_class: bool
) -> bool:
    """Return whether names ask for a single case; they are read as `cases_of` reads them."""
    if not all(isinstance(given, str) for given in (datasets, categories or "", models)):
        return False
    every_category = not multi_class and folder_id(str(categories)) == ALL
    return str(models).lower() != ALL and not every_category


def _the_runner() -> "InlineRunner":
    """Return the runner of this process, which keeps the data of the last case."""
    global _runner
    if _runner is None:
        from bench.gc_paused import gc_paused

        with gc_paused():
            from bench.run.inline import InlineRunner
        _runner = InlineRunner()
    return _runner


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise `TrainingError` for an option of one call that has an impossible value."""
    size, file = options["image_size"], options["resume_from"]
    if size is not None and not _numbers(size, _MIN_SIZE, one=True):
        raise TrainingError(
            f"img_size: wanted a whole number of pixels, at least {_MIN_SIZE}, or two, height "
            f"and width; found {size!r}."
        )
    if options["fit"] not in FITS:
        raise TrainingError(f"fit: wanted one of {', '.join(FITS)}, found {options['fit']!r}.")
    if options["tiles"] is not None and not _numbers(options["tiles"], 1):
        raise TrainingError(
            f"tiles: wanted two whole numbers, rows and columns, found {options['tiles']!r}."
        )
    if options["overlap"] and options["tiles"] is None:
        raise TrainingError("overlap: wanted tiles=(rows, columns) with it, found none.")
    if file is not None and not file.is_file():
        raise TrainingError(
            f"resume_from {file}: wanted a saved model or a training state, found no such file. "
            "Correct the path."
        )


def _numbers(value: Any, low: int, *, one: bool = False) -> bool:
    """Return whether a value is two whole numbers of at least ``low``, or a single one."""
    both = (value, value) if one and isinstance(value, int) else value
    return (
        isinstance(both, list | tuple) and len(both) == 2 and all(_is_number(n, low) for n in both)
    )


def _is_number(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _check_resumable(jobs: Sequence[Job]) -> None:
    """Raise `TrainingError` where a file to resume from does not belong to a training."""
    if len(jobs) > 1:
        raise TrainingError(
            f"resume_from: a file belongs to one training, found {len(jobs)}. Name one dataset, "
            "category and model."
        )
    if jobs[0].protocol.recipe.optimizer == "none":
        raise TrainingError(
            f"resume_from: {jobs[0].case.model} is fitted in one pass, so there is nothing to "
            "resume. Leave it out."
        )


def _jobs(finder: Finder, cases: Sequence[Case]) -> list[Job]:
    """Return a job for every case.

    Raises:
        TrainingError: Something is missing or wrong; the message names it for all cases at once.
    """
    jobs, problems = [], {}
    for case in cases:
        try:
            jobs.append(finder.job(case))
        except CaseSkipped as skip:
            problems[in_words(str(skip))] = _command(skip, finder)
        except (DatasetError, RecipeError, WeightsError) as error:
            problems[in_words(str(error))] = ""
    if problems:
        shown = [
            f"{text}\n  {command}" if command else text
            for text, command in list(problems.items())[:_MAX_PROBLEMS]
        ]
        hidden = len(problems) - len(shown)
        raise TrainingError("\n".join([*shown, *([f"… and {hidden} more"] if hidden else [])]))
    return jobs


def _renewed(job: Job, finder: Finder) -> Job:
    """Return a job as it is now: while earlier ones trained, its data may have been edited."""
    with suppress(CaseSkipped, DatasetError, WeightsError):  # its run says what is wrong
        return finder.job(job.case)
    return job


def _command(skip: CaseSkipped, finder: Finder) -> str:
    """Return the command that downloads missing weights; messages about datasets name theirs."""
    if not skip.missing.startswith("weights"):
        return ""
    return remedy(skip.missing, finder.settings.weights_dirs, ())
