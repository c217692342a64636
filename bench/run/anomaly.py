"""An anomaly case: train on normal images, judge on normal and defective ones."""

from typing import Any

import torch

from bench.metrics.region_cache import cached_regions
from bench.record import Record
from bench.run.anomaly_notes import note_figures
from bench.run.artifacts import write_artifacts
from bench.run.build import build_model
from bench.run.device_data import DeviceData, SplitData
from bench.run.evaluate import evaluate, predict_all
from bench.run.features.store import Features, Split
from bench.run.job import Inputs, Job
from bench.run.measure.profile import ProfileTarget, measure
from bench.run.phases import Phases
from bench.run.spro import saturated_regions
from bench.run.training.loop import TrainingResult
from bench.run.training.train import TrainingData, train
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import texture_source
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import decoded_files
from models.catalog import MODELS
from models.components.base import AnomalyModel, FeatureModel, GradientAnomalyModel


def run_anomaly(
    job: Job,
    inputs: Inputs,
    record: Record,
    phases: Phases,
    device_data: DeviceData,
    device: torch.device,
) -> None:
    """Run it, and note in the record what came out."""
    decoded = decoded_files()
    with phases("data"):
        data = device_data.load(job, inputs, phases.report)
    record.fingerprints["images_decoded"] = decoded_files() - decoded
    with phases("build"):
        model = build_model(job)
    with phases("features"):
        features = features_by_split(model, data, job, device_data, phases, device)
    _note_cache(record, model, features)
    with phases("train"):
        training_data = _training_data(job, inputs, data, features.get("fit"), record, device)
        trained = train(model, training_data, job, device, phases.report)
    record.curve = trained.curve()
    record.fingerprints |= {"images_seen": trained.images_seen, "resumed_at": trained.resumed_at}
    batch = job.protocol.evaluation_batch
    with phases("predict"):
        options: dict[str, Any] = {"batch": batch, "device": device, "report": phases.report}
        predictions = predict_all(model, data.test.images, **options, features=features.get("test"))
        calibration = None
        if data.calibration:
            own = features.get("calibration")
            calibration = predict_all(model, data.calibration.images, **options, features=own)
    with phases("metrics"):
        masks = data.test.masks
        regions = None if masks is None else cached_regions(masks, job.cache_dir / "regions")
        saturated = saturated_regions(job.case.dataset, inputs.test, predictions)
        evaluations = evaluate(
            data.test, predictions, calibration, regions, job.pixel_metrics, saturated
        )
        note_figures(record, evaluations)
    with phases("artifacts"):
        on_host = {head: result.cpu() for head, result in predictions.items()}
        write_artifacts(job, record, model, data.test, on_host)
    fit_seconds = _fit_seconds(trained, features.get("fit"))
    record.measurements["fit_seconds"] = fit_seconds
    if job.measurements:
        with phases("measure"):  # last: its training steps change the model
            target = _profile_target(model, frozen="fit" in features)
            measured = measure(target, training_data.images, job.protocol, trained, device)
        record.measurements |= measured.figures
        record.samples = measured.samples
        record.measurements.setdefault(
            "train_images_per_s", len(training_data.images) / fit_seconds
        )
    job.checkpoint().unlink(missing_ok=True)


def features_by_split(
    model: AnomalyModel,
    data: SplitData,
    job: Job,
    device_data: DeviceData,
    phases: Phases,
    device: torch.device,
) -> dict[str, Features]:
    """A frozen part's features by split, of those that fit in memory; none of augmented images."""
    if not job.feature_cache or not isinstance(model, FeatureModel):
        return {}
    store, found = device_data.features(job), {}
    plain = isinstance(build("anomaly", job.protocol.augmentation), Identity)
    for name in data.pixels if plain else data.pixels.keys() - {"fit"}:
        split = Split(getattr(data, name).images, data.pixels[name], device)
        features = store.features(model.frozen(), job.layers, split, phases.report)
        if features is not None:
            found[name] = features
    return found


def _note_cache(record: Record, model: AnomalyModel, features: dict[str, Features]) -> None:
    if not isinstance(model, FeatureModel):
        return
    computed = {name: split.computed for name, split in features.items()}
    state = "off" if not features else "cold" if any(computed.values()) else "warm"
    record.fingerprints["feature_cache"] = state
    record.fingerprints["features_computed"] = computed


def _training_data(
    job: Job,
    inputs: Inputs,
    data: SplitData,
    features: Features | None,
    record: Record,
    device: torch.device,
) -> TrainingData:
    fitted, held_out = kept_from_training(data.fit, inputs.held_out)
    textures = None
    if MODELS[job.case.entry_name].auxiliary:
        found = {inputs.textures.name: inputs.textures} if inputs.textures else {}
        cache = DecodeCache(job.cache_dir)
        textures = texture_source(found, job.protocol.input_size, cache, tuple(found)).to(device)
        record.fingerprints["auxiliary_pictures"] = textures.name
    if held_out is None:
        return TrainingData(fitted.images, features, None, textures)
    return TrainingData(fitted.images, None, held_out.images, textures)


def kept_from_training(images: ImageSet, names: frozenset[str]) -> tuple[ImageSet, ImageSet | None]:
    """The images to train on, and those of these names, which a model calibrates on."""
    if not names:
        return images, None
    held = [i for i, name in enumerate(images.names) if name in names]
    rest = [i for i, name in enumerate(images.names) if name not in names]
    return images.rows(rest), images.rows(held)


def _fit_seconds(trained: TrainingResult, features: Features | None) -> float:
    """As if nothing had been at hand: features are charged with what computing them took."""
    frozen = features.seconds if features is not None else 0.0
    return frozen + trained.gather_seconds + sum(trained.step_seconds)


def _profile_target(model: AnomalyModel, *, frozen: bool) -> ProfileTarget:
    loss = model.loss if isinstance(model, GradientAnomalyModel) else None
    teacher = model.frozen() if frozen and isinstance(model, FeatureModel) else None
    return ProfileTarget(model, model.predict, loss, teacher)
