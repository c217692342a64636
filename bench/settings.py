"""What the user asked of a session; a plain value, so that it can travel to a child process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """Options of one session.

    Attributes:
        profile: Name in `bench.protocol.PROFILES`.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        data_dirs: Folders of datasets.
        weights_dirs: Folders of pretrained weights.
        results_dir: Where records, pictures and tables go.
        cache_dir: Where decoded images go.
        seeds: Replicates a configuration.
        recipes: Recipes; None means the profile's.
        augmentations: Augmentation ids instead of the studies' own; empty for those.
        images_seen: Training budget in images; None means the profile's.
        image_size: Side of the images; None means the profile's or the model's.
        precision: Of training: ``float32`` or ``bf16``.
        isolate: Whether cases run in a watched child process.
        timeout_s: Wall time a case may take.
        stall_timeout_s: Time a case may go without a sign of life.
        compiling: Whether classifiers' training is compiled: ``auto``, ``yes`` or ``no``.
        rerun: Whether finished cases are run again.
        save_models: Whether trained models are kept.
        workers: Threads that read batches of a set that is streamed.
        host_memory: Bytes that the images of a classification set in files may take before it is
            streamed; None means half of what is free on the device.
        pixel_metrics: ``exact`` by sorting, where memory allows; ``histogram`` by counting, always,
            with a bound of the error.
        feature_cache: Whether features of frozen backbones are kept and shared.
        cache_limit: Bytes that features may take on disk; None means 10 GB, or a fifth of the free
            disk where that is less.
        plots: Whether runs leave pictures.
        measurements: Whether speed, memory and size are measured.
    """

    profile: str
    device: str
    data_dirs: tuple[Path, ...]
    weights_dirs: tuple[Path, ...]
    results_dir: Path
    cache_dir: Path
    seeds: int = 1
    recipes: tuple[str, ...] | None = None
    augmentations: tuple[str, ...] = ()
    images_seen: int | None = None
    image_size: int | None = None
    precision: str = "float32"
    isolate: bool = False
    timeout_s: float = 4 * 3600.0
    stall_timeout_s: float = 900.0
    compiling: Literal["auto", "yes", "no"] = "auto"
    rerun: bool = False
    save_models: bool = False
    workers: int = 2
    host_memory: int | None = None
    pixel_metrics: Literal["exact", "histogram"] = "exact"
    feature_cache: bool = True
    cache_limit: int | None = None
    plots: bool = True
    measurements: bool = True

    @property
    def runs_dir(self) -> Path:
        """Folder of the append-only store and of every run's files."""
        return self.results_dir / "runs"
