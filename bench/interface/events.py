"""TensorBoard event files: the training loss as it falls, and the metrics at the end."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.interface.errors import TrainingError
from bench.record import Record


class EventWriter:
    """Writes the events of one run; its folder is created with the first of them.

    Args:
        folder: Folder of the event files, which `tensorboard --logdir` reads.
        batch: Images per optimizer step.

    Raises:
        TrainingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, batch: int) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise TrainingError(
                "tensorboard=True: wanted the package tensorboard, found none. Install it with "
                "uv sync --extra tensorboard, or pip install tensorboard."
            )
        self._folder, self._batch = folder, batch
        self._writer: Any = None

    def report(self, phase: str, info: Mapping[str, Any]) -> None:
        """Write the loss of a training step, over images seen."""
        if phase == "train" and "loss" in info:
            self._open().add_scalar("train/loss", info["loss"], info["step"] * self._batch)

    def finish(self, record: Record) -> None:
        """Write metrics by head, metrics by epoch and the case's id, and close the files."""
        writer = self._open()
        seen = int(record.fingerprints.get("images_seen", 0))
        for head, metrics in record.metrics.items():
            for name, value in metrics.items():
                if value is not None:
                    writer.add_scalar(f"test/{head}/{name}", value, seen)
        for images, value in record.epochs:
            writer.add_scalar("test/top1_by_epoch", value, int(images))
        writer.add_text("case", record.key.id)
        writer.close()

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
            writer: Any = SummaryWriter
            self._writer = writer(str(self._folder))
        return self._writer
