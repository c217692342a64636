"""Anomaly detection: train on normal images, evaluate on normal and defective ones."""

from pathlib import Path

import torch
from torch import Tensor

from bench.metrics.region_cache import cached_regions
from bench.record import Record
from bench.run.anomaly_evaluation import evaluate_heads
from bench.run.anomaly_files import write_files
from bench.run.batch import make_batch
from bench.run.build import build_model
from bench.run.features.store import Features, Split
from bench.run.job import Inputs
from bench.run.measure.profile import ProfileTarget
from bench.run.predict import HeadPredictions, predict_all
from bench.run.spro import saturated_regions
from bench.run.task import Evaluation, Model, Task
from bench.run.training.extras import Extras
from bench.run.training.loop import TrainingResult
from bench.run.training.train import TrainingData, train
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource, texture_source
from datasets_lib.cache.decode_cache import DecodeCache
from models.catalog import MODELS
from models.components.base import AnomalyModel, Batch

Predictions = dict[str, HeadPredictions]


class AnomalyTask(Task):
    """Anomaly detection on one category."""

    def load(self) -> None:
        """Read the splits of the category."""
        assert isinstance(self.job.inputs, Inputs)
        self.inputs = self.job.inputs
        self.data = self.device_data.load(self.job, self.inputs, self.progress)
        self.features: dict[str, Features] = {}

    def build(self) -> AnomalyModel:
        """Return the catalog entry's model on its device."""
        return build_model(self.job)

    def prepare(self, model: Model) -> None:
        """Find or compute the frozen backbone's features of each split."""
        assert isinstance(model, AnomalyModel)
        if model.backbone is None:
            return
        self.features = self._features_by_split(model)
        computed = {name: split.computed for name, split in self.features.items()}
        state = "off" if not computed else "cold" if any(computed.values()) else "warm"
        self.fingerprints |= {"feature_cache": state, "features_computed": computed}

    def train(self, model: Model) -> TrainingResult:
        """Fit the model to its training images."""
        assert isinstance(model, AnomalyModel)
        fitted, held_out = split_held_out(self.data.fit, self.inputs.held_out)
        # Features are of the whole split: a model that holds images out sees images instead.
        data = TrainingData(
            images=fitted.images,
            features=self.features.get("fit") if held_out is None else None,
            held_out=None if held_out is None else held_out.images,
            extras=self._extras(fitted),
        )
        self._train_images, self.extras = fitted.images, data.extras
        return train(model, data, self.job, self.device, self.progress)

    def predict(self, model: Model) -> dict[str, Predictions]:
        """Return predictions by split: the test set and, where there is one, calibration."""
        assert isinstance(model, AnomalyModel)
        splits = {"test": self.data.test, "calibration": self.data.calibration}
        return {
            name: predict_all(
                model,
                split.images,
                batch_size=self.job.protocol.evaluation_batch,
                device=self.device,
                progress=self.progress,
                features=self.features.get(name),
            )
            for name, split in splits.items()
            if split
        }

    def evaluate(self, predictions: dict[str, Predictions], trained: TrainingResult) -> Evaluation:
        """Return metrics, intervals and thresholds of every head."""
        test, settings = self.data.test, self.job.settings
        regions = None
        if test.masks is not None:
            regions = cached_regions(test.masks, settings.cache_dir / "regions")
        return evaluate_heads(
            test,
            predictions["test"],
            predictions.get("calibration"),
            regions,
            settings.pixel_metrics,
            saturated_regions(self.job.case.dataset, self.inputs.test, predictions["test"]),
        )

    def write_files(
        self, model: Model, predictions: dict[str, Predictions], record: Record
    ) -> dict[str, Path]:
        """Write scores and plots."""
        on_host = {head: result.cpu() for head, result in predictions["test"].items()}
        return write_files(self.job, record, self.data.test, on_host)

    def fit_seconds(self, trained: TrainingResult) -> float:
        """Charge cached features with what computing them took, so that caches never rank."""
        features = self.features.get("fit")
        frozen = features.seconds if features is not None else 0.0
        return frozen + trained.gather_seconds + sum(trained.step_seconds)

    def profile_target(self, model: Model) -> ProfileTarget:
        """Return the whole prediction, and the loss of a model trained by gradient."""
        assert isinstance(model, AnomalyModel)
        return ProfileTarget(
            model=model,
            images=self._train_images,
            predict=lambda images: model.predict(make_batch(model, images, self.device)),
            loss=(lambda images: model.loss(self._training_batch(model, images)))
            if model.uses_gradients
            else None,
            frozen=model.backbone if "fit" in self.features else None,
        )

    def _training_batch(self, model: AnomalyModel, images: Tensor) -> Batch:
        """Return a batch of the first training images, with all that the loss reads."""
        assert self.extras is not None
        index = torch.arange(len(images), device=self._train_images.device)
        index %= len(self._train_images)
        masks = self.extras.masks(index)
        return make_batch(
            model,
            images,
            self.device,
            masks=None if masks is None else masks.to(self.device),
            **self.extras.fields(images, index, 0),
        )

    def _extras(self, fitted: ImageSet) -> Extras:
        entry = MODELS[self.job.case.model]
        return Extras(
            seed=self.job.seed,
            textures=self._textures(),
            labeled=fitted if entry.supervised else None,
        )

    def _features_by_split(self, model: AnomalyModel) -> dict[str, Features]:
        """Return features of the splits for which they fit in memory; none of augmented images."""
        if not self.job.settings.feature_cache or model.backbone is None:
            return {}
        store, by_split = self.device_data.features(self.job), {}
        plain = isinstance(build("anomaly", self.job.protocol.augmentation), Identity)
        for name in self.data.pixels if plain else self.data.pixels.keys() - {"fit"}:
            split = Split(getattr(self.data, name).images, self.data.pixels[name], self.device)
            features = store.features(model.backbone, self.job.layers, split, self.progress)
            if features is not None:
                by_split[name] = features
        return by_split

    def _textures(self) -> TextureSource | None:
        if not MODELS[self.job.case.model].auxiliary:
            return None
        dataset = self.inputs.textures
        datasets = {dataset.name: dataset} if dataset else {}
        source = texture_source(
            datasets,
            self.job.protocol.input_size,
            DecodeCache(self.job.settings.cache_dir),
            tuple(datasets),
        ).to(self.device)
        self.fingerprints["auxiliary_pictures"] = source.name
        return source


def split_held_out(images: ImageSet, names: frozenset[str]) -> tuple[ImageSet, ImageSet | None]:
    """Return the images to train on, and those with the given names, to calibrate on."""
    if not names:
        return images, None
    held_out = [row for row, name in enumerate(images.names) if name in names]
    rest = [row for row, name in enumerate(images.names) if name not in names]
    return images.rows(rest), images.rows(held_out)
