"""Anomaly detection: train on normal images, evaluate on normal and defective ones."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.metrics.region_cache import cached_regions
from bench.record import CROP_SUFFIX, Record
from bench.run.anomaly_evaluation import evaluate_heads
from bench.run.anomaly_files import write_files
from bench.run.batch import make_batch
from bench.run.build import anomaly_options, build_model
from bench.run.crop import cut_away, cut_away_note, paste, within_crop
from bench.run.features.store import Features, Split
from bench.run.job import Inputs
from bench.run.measure.profile import ProfileTarget
from bench.run.multi_class import Evaluated, mean_over, unknown_in_crop
from bench.run.predict import HeadPredictions, joined, merge_tiles, predict_all
from bench.run.saved_model import calibrations, plain_options
from bench.run.shortcut import size_shortcut
from bench.run.spro import saturated_regions
from bench.run.task import Evaluation, Model, Task
from bench.run.training.extras import Extras
from bench.run.training.loop import TrainingResult
from bench.run.training.train import TrainingData, gather, train
from bench.run.whole_images import over_whole_images, windows_of
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource, texture_source
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.free_memory import free_bytes
from models.catalog import MODELS
from models.components.base import AnomalyModel, Batch
from models.components.image_size import size_text

_TEXTURES_SHARE = 0.5  # of the device's free memory: more textures stay on the host

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
        # Features cover the whole split: a model that holds images out reads images instead.
        self._fit_features = self.features.get("fit") if held_out is None else None
        data = TrainingData(
            images=fitted.images,
            features=self._fit_features,
            held_out=None if held_out is None else held_out.images,
            extras=self._extras(fitted),
        )
        self._train_images, self.extras = fitted.images, data.extras
        self._gather_again = self._another_gather(model, data)
        return train(model, data, self.job, self.device, self.progress)

    def predict(self, model: Model) -> dict[str, Predictions]:
        """Return predictions by split: the test set and, where there is one, calibration."""
        assert isinstance(model, AnomalyModel)
        splits = {"test": self.data.test, "calibration": self.data.calibration}
        by_split = {
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
        tiles = self.data.tiles
        if tiles is None:
            return by_split
        return {name: merge_tiles(results, tiles) for name, results in by_split.items()}

    def evaluate(self, predictions: dict[str, Predictions], trained: TrainingResult) -> Evaluation:
        """Return metrics, intervals and thresholds of every head, over the full frame."""
        whole = Evaluated(
            *(self.data.shown, self.data.frame_masks, self.inputs.fit, self.inputs.test),
            *(predictions["test"], predictions.get("calibration")),
            self.inputs.calibration,
        )
        if not self.inputs.categories:
            return self._evaluate_category(whole)
        return mean_over(
            {
                name: self._evaluate_category(whole.of(name, has_masks=self.inputs.has_masks[name]))
                for name in self.inputs.categories
            }
        )

    def _evaluate_category(self, part: Evaluated) -> Evaluation:
        """Return the evaluation of one category's images."""
        test, protocol = part.test, self.job.protocol
        results, calibration = part.results, part.calibration
        shortcut = size_shortcut(
            [s.image for s in part.fit], [s.image for s in part.tested], test.labels
        )
        if protocol.crop is None and protocol.fit == "squash":
            return self._evaluate(part, test, results, calibration, [shortcut])
        masks, frame = part.frame_masks, protocol.frame
        whole_test = replace(test, masks=masks)
        if protocol.crop is not None:
            pasted = paste(results, protocol.image_size)
            where = f"the {size_text(protocol.crop)} px crop of {frame} px"
        else:
            pasted = over_whole_images(results, windows_of(part.tested, frame))
            where = f"the crop to {size_text(frame.size)} px"
        if protocol.fit == "pad":
            if calibration:
                calibration = over_whole_images(calibration, windows_of(part.calibrated, frame))
            return self._evaluate(part, whole_test, pasted, calibration, [shortcut])
        if masks is None or test.masks is None:
            whole = self._evaluate(part, whole_test, pasted, calibration, [shortcut])
            # Where other categories have masks, every category has the crop's head.
            others = any(self.inputs.has_masks.values())
            return whole.merged(unknown_in_crop(whole)) if others else whole
        lost = cut_away(test.masks, masks)
        note = cut_away_note(lost, test.labels, where)
        whole = self._evaluate(part, whole_test, pasted, calibration, [note, shortcut])
        whole.fingerprints["defects_cut_away"] = int(lost.sum())
        shown, kept = within_crop(test, results, lost)
        renamed = {head + CROP_SUFFIX: held for head, held in (calibration or {}).items()}
        return whole.merged(self._evaluate(part, shown, kept, renamed or None))

    def _evaluate(
        self,
        part: Evaluated,
        test: ImageSet,
        results: Predictions,
        calibration: Predictions | None,
        notes: Sequence[str] = (),
    ) -> Evaluation:
        settings = self.job.settings
        regions = None
        if test.masks is not None:
            regions = cached_regions(test.masks, settings.cache_dir / "regions")
        # Regions are of whole images: a crop's own head has none.
        whole = not any(head.endswith(CROP_SUFFIX) for head in results)
        saturated = (
            saturated_regions(self.job.case.dataset, part.tested, results) if whole else None
        )
        return evaluate_heads(
            test, results, calibration, regions, settings.pixel_metrics, saturated, notes
        )

    def write_files(
        self, model: Model, predictions: dict[str, Predictions], record: Record
    ) -> dict[str, Path]:
        """Write scores, maps and plots."""
        test, calibration = (
            {head: result.cpu() for head, result in predictions.get(split, {}).items()}
            for split in ("test", "calibration")
        )
        return write_files(self.job, record, self.data, test, calibration)

    def checkpoint_fields(
        self, predictions: dict[str, Predictions], record: Record
    ) -> dict[str, Any]:
        """Return options, heads, and what scores and maps mean."""
        return {
            "options": plain_options(anomaly_options(self.job.case.model, self.job.protocol)),
            "heads": MODELS[self.job.case.model].heads,
            "categories": self.inputs.categories,
            "calibrations": calibrations(
                *(self.inputs.categories, record, self.data.shown, predictions["test"]),
                *(predictions.get("calibration"), self.data.held_out_names),
            ),
        }

    def fit_parts(self, trained: TrainingResult) -> dict[str, float]:
        """Charge cached features with the time to compute them, so that caches never rank."""
        parts = {
            "frozen backbone": self._features_seconds,
            "gathering": trained.gather_seconds,
            "optimizer steps": sum(trained.step_seconds),
            "calibration": trained.calibrate_seconds,
        }
        return {name: seconds for name, seconds in parts.items() if seconds}

    @property
    def _features_seconds(self) -> float:
        """Duration of computing the features that training used; 0 if it used images."""
        return 0.0 if self._fit_features is None else self._fit_features.seconds

    def profile_target(self, model: Model) -> ProfileTarget:
        """Return the whole prediction, and the loss of a model trained by gradient."""
        assert isinstance(model, AnomalyModel)
        return ProfileTarget(
            model=model,
            images=self._train_images,
            predict=self._predict_frames(model),
            loss=(lambda twin, images: twin.loss(self._training_batch(twin, images)))
            if model.uses_gradients
            else None,
            gather=self._gather_again,
            frozen_seconds=self._features_seconds / len(self._train_images),
            frames=None if self.data.frames is None else self.data.frames.images,
        )

    def _predict_frames(self, model: AnomalyModel) -> Callable[[Tensor], object]:
        """Return a function that predicts whole images, in batches of tiles if there are any."""
        tiles, most = self.data.tiles, self.job.protocol.evaluation_batch

        def predict(images: Tensor) -> object:
            if tiles is None:
                return model.predict(make_batch(model, images, self.device))
            parts = [
                model.predict(make_batch(model, part, self.device))
                for part in torch.split(tiles.cut(images), most)
            ]
            return merge_tiles(joined(parts), tiles)

        return predict

    def _another_gather(
        self, model: AnomalyModel, data: TrainingData
    ) -> Callable[[], Callable[[], object]] | None:
        """Return a function that makes calls that gather statistics like the fit, on a new copy.

        None where nothing measures it: on CUDA, memory is exact in the timed pass.
        """
        if not (model.gathers_statistics and self.job.settings.measurements):
            return None
        if self.device.type == "cuda":
            return None
        empty = copy.deepcopy(model, {id(model.backbone): model.backbone})

        def another() -> Callable[[], object]:
            twin = copy.deepcopy(empty, {id(model.backbone): model.backbone})
            return lambda: gather(twin, data, self.job, self.device, lambda *_: None)

        return another

    def _training_batch(self, model: AnomalyModel, images: Tensor) -> Batch:
        """Return a batch of the first training images, with everything that the loss reads."""
        assert self.extras is not None
        index = torch.arange(len(images), device=self._train_images.device)
        index %= len(self._train_images)
        masks = self.extras.masks(index)
        return make_batch(
            model,
            images,
            self.device,
            masks=None if masks is None else masks.to(self.device),
            draws=RandomStreams(index.to(self.device), self.job.seed).fold_in("model"),
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
        """Return features of the splits whose features fit in memory.

        Those of training images are left out where training augments them or sees only a part.
        """
        if not self.job.settings.feature_cache or model.backbone is None:
            return {}
        store, by_split = self.device_data.features(self.job), {}
        plain = isinstance(build("anomaly", self.job.protocol.augmentation), Identity)
        whole = model.gathers_statistics or self._passes >= 1
        for name in self.data.pixels if plain and whole else self.data.pixels.keys() - {"fit"}:
            split = Split(getattr(self.data, name).images, self.data.pixels[name], self.device)
            features = store.features(model.backbone, self.job.layers, split, self.progress)
            if features is not None:
                by_split[name] = features
        return by_split

    @property
    def _passes(self) -> float:
        """Number of times that training sees each image, on average."""
        count = len(self.data.fit.images)
        return self.job.protocol.total_images(count) / count

    def _textures(self) -> TextureSource | None:
        if not MODELS[self.job.case.model].auxiliary:
            return None
        dataset = self.inputs.textures
        datasets = {dataset.name: dataset} if dataset else {}
        source = texture_source(
            datasets,
            self.job.protocol.textures(MODELS[self.job.case.model].auxiliary_fit),
            DecodeCache(self.job.settings.cache_dir),
            tuple(datasets),
        )
        self.fingerprints["auxiliary_pictures"] = source.name
        fits = source.images.nbytes <= _TEXTURES_SHARE * free_bytes(self.device)
        return source.to(self.device) if fits else source


def split_held_out(images: ImageSet, names: frozenset[str]) -> tuple[ImageSet, ImageSet | None]:
    """Return the images to train on, and the images with the given names, to calibrate on."""
    if not names:
        return images, None
    held_out = [row for row, name in enumerate(images.names) if name in names]
    rest = [row for row, name in enumerate(images.names) if name not in names]
    return images.rows(rest), images.rows(held_out)
