"""The options of a session, as a plain value that can travel to a child process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets_lib.images.geometry import Fit
from models.components.image_size import ImageSize


@dataclass(frozen=True)
class Settings:
    """Options of one session.

    Attributes:
        profile: Name in `bench.protocol.PROFILES`.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        data_dirs: Folders of datasets.
        weights_dirs: Folders of pretrained weights.
        results_dir: Folder of records, plots and tables.
        cache_dir: Folder of decoded images and features.
        seeds: Number of replicates per configuration.
        plugins: Python files that register models, datasets and the like.
        recipes: Recipe names; None means the profile's.
        augmentations: Augmentation ids instead of the studies' own; empty for those.
        shots: Numbers of training images of few-shot cases, which join the others.
        multi_class: Whether cases of one model for all categories join the others.
        images_seen: Training budget in images; None means the profile's.
        image_size: Size of the images in pixels; None means the profile's or the model's.
        fit: How images of another aspect ratio are fitted into this size.
        tiles: Rows and columns of tiles of this size; None means whole images.
        overlap: Rows or columns of pixels that neighboring tiles share.
        bits: Number of bits that cameras fill in 16-bit image files.
        split_by: Regular expression of the prefix of a file name; images of one prefix stay on one
            side of splits by hash. Empty means that each image is on its own.
        max_megapixels: Maximum size of an image; None means Pillow's limit.
        precision: Training precision, ``float32`` or ``bf16``.
        isolate: Whether cases run in a watched child process.
        timeout_s: Maximum wall time of a case in seconds.
        stall_timeout_s: Maximum time without a sign of life in seconds.
        compiling: Whether training of classifiers is compiled: ``auto``, ``yes`` or ``no``.
        rerun: Whether finished cases are run again.
        keep_stale: Whether finished cases of other code, devices and options are kept.
        save_models: Whether trained models are kept.
        keep_maps: Whether anomaly maps are kept however large they are.
        workers: Number of threads that read batches of a streamed dataset.
        host_memory: Maximum size in bytes of a classification set's images in memory; a larger set
            is streamed. None means half of the free memory.
        pixel_metrics: ``exact`` (sorted, where memory allows) or ``histogram`` (always counted by
            bin, with a bound on the error).
        feature_cache: Whether features of frozen backbones are kept and shared.
        cache_limit: Maximum size in bytes of the features on disk; None means 10 GB, or a fifth of
            the free disk if that is less.
        plots: Whether runs draw plots.
        measurements: Whether speed, memory and size are measured.
        measure_seconds: Maximum time that measuring a case takes.
        changes: Fields of every recipe to change, see `bench.changes`.
        normalize: Whether frozen backbones normalize images.
        seed_base: Seed of replicate s0; None means each model's own.
        resume_from: File that training resumes from: a training state or a saved model.
        keep_state: Whether the state of a finished training is kept, to continue it later.
        panels: Whether each test image gets a picture of its own.
    """

    profile: str
    device: str
    data_dirs: tuple[Path, ...]
    weights_dirs: tuple[Path, ...]
    results_dir: Path
    cache_dir: Path
    seeds: int = 1
    plugins: tuple[Path, ...] = ()
    recipes: tuple[str, ...] | None = None
    augmentations: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    multi_class: bool = False
    images_seen: int | None = None
    image_size: ImageSize | None = None
    fit: Fit = "squash"
    tiles: tuple[int, int] | None = None
    overlap: int = 0
    bits: int = 16
    split_by: str = ""
    max_megapixels: int | None = None
    precision: str = "float32"
    isolate: bool = False
    timeout_s: float = 4 * 3600.0
    stall_timeout_s: float = 900.0
    compiling: Literal["auto", "yes", "no"] = "auto"
    rerun: bool = False
    keep_stale: bool = False
    save_models: bool = False
    keep_maps: bool = False
    workers: int = 2
    host_memory: int | None = None
    pixel_metrics: Literal["exact", "histogram"] = "exact"
    feature_cache: bool = True
    cache_limit: int | None = None
    plots: bool = True
    measurements: bool = True
    measure_seconds: float = 10.0
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    normalize: bool = True
    seed_base: int | None = None
    resume_from: Path | None = None
    keep_state: bool = False
    panels: bool = False

    @property
    def asked(self) -> dict[str, bool]:
        """Return which optional parts of a record are wanted, as in `Record.asked`."""
        return {
            "measurements": self.measurements,
            "pictures": self.plots,
            "models": self.save_models,
            "panels": self.panels,
            "maps": self.keep_maps,
            "exact": self.pixel_metrics == "exact",
        }

    @property
    def runs_dir(self) -> Path:
        """Return the folder of the record store and of the files of every run."""
        return self.results_dir / "runs"
