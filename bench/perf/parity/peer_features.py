"""The peer's side of `bench.perf.parity`: models that describe or compare a backbone's features.

Like all of the peer's side, this runs with an interpreter that has anomalib, and imports nothing
else of this project.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

Results = dict[str, Any]
"""Tensors by name."""

LAYERS = ["layer1", "layer2", "layer3"]


def module(name: str) -> Any:
    """Return a module of anomalib's image models."""
    return importlib.import_module(f"anomalib.models.image.{name}")


def loaded(model: Any, weights: Mapping[str, Any], unused: tuple[str, ...] = ()) -> Any:
    """Return a model in evaluation mode with our weights, which are all that it uses.

    Args:
        model: The peer's module.
        weights: Tensors by its names; another shape is an error.
        unused: Prefixes of its tensors that have no effect on the results.
    """
    missing, unexpected = model.load_state_dict(dict(weights), strict=False)
    missing = [name for name in missing if not name.startswith(unused)] if unused else missing
    if missing or unexpected:
        raise ValueError(f"{type(model).__name__} lacks {missing} and does not know {unexpected}.")
    return model.eval()


def joined(tensors: Any) -> Any:
    """Return all values of several tensors in one row."""
    return importlib.import_module("torch").cat([each.flatten() for each in tensors])


def stfpm(weights: Results, given: Any) -> Results:
    """Return STFPM's results."""
    model = loaded(module("stfpm.torch_model").STFPMModel(LAYERS), weights)
    features = model.teacher_model(given.images), model.student_model(given.images)
    return {
        "features of the student": joined(features[1].values()),
        "map": model(given.images).anomaly_map,
        "loss": module("stfpm.loss").STFPMLoss()(*features),
    }


def reverse_distillation(backbone: str) -> Callable[[Results, Any], Results]:
    """Return the function for Reverse Distillation with a backbone."""

    def results(weights: Results, given: Any) -> Results:
        kind = module("reverse_distillation.torch_model").ReverseDistillationModel
        size = tuple(given.images.shape[-2:])
        model = loaded(kind(backbone, size, LAYERS, "add", pre_trained=False), weights)
        encoded = list(model.encoder(given.images).values())
        decoded = model.decoder(model.bottleneck(encoded))
        loss = module("reverse_distillation.loss").ReverseDistillationLoss
        return {
            "decoded features": joined(decoded),
            "loss": loss()(encoded, decoded),
            "map": model(given.images).anomaly_map,
        }

    return results


def wide_decoder(weights: Results, given: Any) -> Results:
    """Return what the decoder of WRN50 decodes."""
    decoders = importlib.import_module("anomalib.models.components.backbone")
    decoder = loaded(decoders.get_decoder("wide_resnet50_2"), weights)
    return {"decoded features": joined(decoder(given.embedding))}


def padim(weights: Results, given: Any) -> Results:
    """Return PaDiM's map for our Gaussians and for its own."""
    kind = module("padim.torch_model").PadimModel
    model = loaded(kind("resnet18", pre_trained=False), weights, ("gaussian.", "anomaly_map"))
    model.memory_bank.append(model.generate_embedding(model.feature_extractor(given.train)))
    model.fit()
    mean, own = model.gaussian.mean, model(given.images).anomaly_map
    model.gaussian.mean, model.gaussian.inv_covariance = given.mean, given.inverse
    shared = model(given.images).anomaly_map
    return {
        "means of the embeddings": mean,
        "map of its own fit": own,
        "map of the same Gaussians": shared,
    }


def patchcore(weights: Results, given: Any) -> Results:
    """Return PatchCore's results."""
    kind = module("patchcore.torch_model").PatchcoreModel
    model = kind(["layer2", "layer3"], "resnet18", pre_trained=False)
    model = loaded(model, weights, ("memory_bank", "anomaly_map"))
    model.memory_bank = given.bank
    features = model.feature_extractor(given.images)
    pooled = {layer: model.feature_pooler(each) for layer, each in features.items()}
    prediction = model(given.images)
    return {
        "embedding": model.generate_embedding(pooled),
        "score": prediction.pred_score,
        "map": prediction.anomaly_map,
    }


def cfa(weights: Results, given: Any) -> Results:
    """Return CFA's results; its 1 × 1 convolution without coordinates is never called."""
    model = module("cfa.torch_model").CfaModel("resnet18", 1, 1, 3, 3, 1e-5)
    unused = ("memory_bank", "descriptor.layer.weight", "descriptor.layer.bias")
    model = loaded(model, weights, unused)
    model.memory_bank = given.bank
    descriptors = model.descriptor(model.feature_extractor(given.images))
    loss = module("cfa.loss").CfaLoss(3, 3, float(given.radius))
    return {
        "descriptors": descriptors,
        "loss": loss(model.compute_distance(descriptors)),
        "map": model(given.images).anomaly_map,
    }


def dfm(weights: Results, given: Any) -> Results:
    """Return DFM's scores and map."""
    kind = module("dfm.torch_model").DFMModel
    model = kind("resnet18", "layer3", pre_trained=False)
    model = loaded(model, weights, ("pca_model.", "gaussian_model."))
    model.pca_model.mean, model.pca_model.singular_vectors = given.mean, given.components
    prediction = model(given.images)
    torch = importlib.import_module("torch")
    model.score_type, gaussian = "nll", model.gaussian_model
    gaussian.mean_vec = torch.zeros(len(given.variances))
    gaussian.u_mat = torch.eye(len(given.variances))
    gaussian.sigma_mat = given.variances.sqrt()
    return {
        "score, fre": prediction.pred_score,
        "map": prediction.anomaly_map,
        "score, nll": model(given.images).pred_score,
    }


def dfkde(weights: Results, given: Any) -> Results:
    """Return DFKDE's probability and density."""
    model = module("dfkde.torch_model").DfkdeModel("resnet18", ["layer4"], pre_trained=False)
    model = loaded(model, weights, ("classifier.",))
    model.memory_bank.append(model.get_features(given.train))
    model.fit()
    features = model.get_features(given.images)
    density = model.classifier.compute_kde_scores(features, as_log_likelihood=True)
    return {"score": model(given.images).pred_score, "log density": density}


def fre(weights: Results, given: Any) -> Results:
    """Return FRE's results, with its configuration's window of two."""
    latent, dimension = weights["fre_model.weight"].shape
    kind = module("fre.torch_model").FREModel
    model = kind("resnet18", "layer3", dimension, latent, pre_trained=False, pooling_kernel_size=2)
    prediction = loaded(model, weights)(given.images)
    return {"score": prediction.pred_score, "map": prediction.anomaly_map}
