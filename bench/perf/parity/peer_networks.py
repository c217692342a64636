"""The peer's side of `bench.perf.parity`: flows, and models that are trained as a whole."""

import importlib
from typing import Any

from bench.perf.parity.peer_features import Results, joined, loaded, module


def fastflow(weights: Results, given: Any) -> Results:
    """Return FastFlow's results."""
    size = tuple(given.images.shape[-2:])
    model = module("fastflow.torch_model").FastflowModel(size, "resnet18", pre_trained=False)
    model = loaded(model, weights)
    model.training = True  # returns the latents; no part changes in training
    latents, log_determinants = model(given.images)
    model.training = False
    return {
        "latents": joined(latents),
        "log-determinant": sum(log_determinants),
        "loss": module("fastflow.loss").FastflowLoss()(latents, log_determinants),
        "map": model(given.images).anomaly_map,
    }


def cflow(weights: Results, given: Any) -> Results:
    """Return CFlow's results."""
    layers = ["layer2", "layer3", "layer4"]
    model = module("cflow.torch_model").CflowModel("resnet18", layers, pre_trained=False)
    model = loaded(model, weights)
    seen: list[Any] = []
    maps = model.anomaly_map_generator
    maps.register_forward_hook(
        lambda _, __, named, ___: seen.extend(named["distribution"]), with_kwargs=True
    )
    return {"map": model(given.images).anomaly_map, "log-likelihoods": joined(seen)}


def uflow(weights: Results, given: Any) -> Results:
    """Return U-Flow's results."""
    size = tuple(given.images.shape[-2:])
    model = loaded(module("uflow.torch_model").UflowModel(size, backbone="resnet18"), weights)
    latents, log_determinant = model.encode(model.feature_extractor(given.images))
    return {
        "latents": joined(latents),
        "log-determinant, flow alone": log_determinant,
        "loss": module("uflow.loss").UFlowLoss()(latents, log_determinant),
        "map": model(given.images).anomaly_map,
    }


def csflow(weights: Results, given: Any) -> Results:
    """Return CS-Flow's results for our features and orders of channels."""
    orders = {place: getattr(given, f"order {place}") for place in (1, 3, 5, 7)}
    features = [getattr(given, f"features {scale}") for scale in range(3)]
    size = (3, *(32 * side for side in features[0].shape[-2:]))
    csflow_module = module("csflow.torch_model")
    model = loaded(csflow_module.CrossScaleFlow(size, 4, 3, 64), weights)
    for place, order in orders.items():
        model.graph.module_list[place - 1].perm = [order] * 3
    latents, log_determinant = model(features)
    maps = module("csflow.anomaly_map").AnomalyMapGenerator(size)
    return {
        "latents": joined_positions(latents),
        "score, with 0.636": csflow_module.CsFlowModel._compute_anomaly_scores(latents),
        "loss, with 0.636": module("csflow.loss").CsFlowLoss()(latents, log_determinant),
        "map, with 0.636": maps(latents),
    }


def joined_positions(maps: Any) -> Any:
    """Return maps of several scales as ``(B, C, positions)``."""
    return importlib.import_module("torch").cat([each.flatten(2) for each in maps], dim=2)


def uninet(weights: Results, given: Any) -> Results:
    """Return UniNet's results."""
    loss = module("uninet.components").UniNetLoss()
    model = module("uninet.torch_model").UniNetModel("resnet50", "resnet50", loss)
    model = loaded(model, weights, ("fc.", "bottleneck."))
    teachers, both = model.teachers(given.images)
    decoded = model.student(model.bottleneck(both))
    halves = [each.chunk(2) for each in decoded]
    students = [half[number] for number in (0, 1) for half in halves]
    prediction = model(given.images)
    return {
        "decoded features": joined(decoded),
        "loss": loss(model.dfs(students, teachers), teachers),
        "map": prediction.anomaly_map,
        "score": prediction.pred_score,
    }


def supersimplenet(weights: Results, given: Any) -> Results:
    """Return SuperSimpleNet's adapted features, and the heads' results for ours."""
    kind = module("supersimplenet.torch_model").SupersimplenetModel
    model = loaded(kind(backbone="resnet18"), weights, ("anomaly_map_generator.",))
    maps, scores = model.segdec(given.adapted, given.adapted)
    enlarged = model.anomaly_map_generator(maps, given.images.shape[-2:])
    return {
        "adapted features": model.adaptor(model.feature_extractor(given.images)),
        "logits of the same features": joined((maps, scores)),
        "loss of the same features": module("supersimplenet.loss").SSNLoss()(
            maps[:, 0] if maps.ndim == 4 else maps,
            scores,
            given.defects.to(maps.dtype),
            given.labels.to(maps.dtype),
        ),
        "map of the same features": enlarged.sigmoid(),
    }


def dinomaly(weights: Results, given: Any) -> Results:
    """Return Dinomaly's results; the encoder's last blocks are not tapped."""
    torch = importlib.import_module("torch")
    model = module("dinomaly.torch_model").DinomalyModel("vit_small_patch14_reg4_dinov2")
    last = [f"encoder.feature_extractor.{part}" for part in ("blocks.10.", "blocks.11.", "norm.")]
    model = loaded(model, weights, ("gaussian_blur.", *last))

    def encoded(images: Any) -> Any:
        return joined(layer.mT for layer in model.encoder(images).values())

    with torch.enable_grad():
        teacher, student = model.get_encoder_decoder_outputs(given.images)
        loss = model.loss_fn(teacher, student, global_step=500)
        (gradient,) = torch.autograd.grad(loss, model.bottleneck[0].fc1.weight)
    prediction = model(given.images)
    return {
        "encoder's features": encoded(given.images),
        "encoder's features, resampled": encoded(given.small),
        "reconstructed features": joined(student),
        "loss": loss,
        "gradient, hard mining": gradient,
        "map": prediction.anomaly_map,
        "score": prediction.pred_score,
    }


def efficientad(weights: Results, given: Any) -> Results:
    """Return EfficientAD's results, its loss with mirrored images in place of ImageNet's."""
    networks = module("efficient_ad.torch_model")
    sizes = networks.EfficientAdModelSize
    medium = len(weights["teacher.conv1.weight"]) > 128
    model = networks.EfficientAdModel(model_size=sizes.M if medium else sizes.S)
    model = loaded(model, weights)
    student, distances = model.compute_student_teacher_distance(given.images)
    loss, _, _ = model.compute_losses(given.images, given.images.flip(3), distances)
    return {
        "student's features": student,
        "autoencoder's features": model.ae(given.images, given.images.shape[-2:]),
        "student's loss": loss,
        "map": model(given.images).anomaly_map,
    }


def ganomaly(weights: Results, given: Any) -> Results:
    """Return GANomaly's score, and its networks' results with the official padding."""
    size = tuple(given.images.shape[-2:])
    model = loaded(module("ganomaly.torch_model").GanomalyModel(size, 3, 64, 100), weights)
    padded_by_4 = model(given.images).pred_score
    networks = model.generator.encoder1, model.generator.encoder2
    for first in (*(each.input_layers[0] for each in networks), model.discriminator.features[0]):
        first.padding = (1, 1)
    rebuilt, latent, again = model.generator(given.images)
    losses = module("ganomaly.loss")
    real, other = (model.discriminator(each)[0] for each in (given.images, rebuilt))
    generation = losses.GeneratorLoss()(latent, again, given.images, rebuilt, real, other)
    return {
        "score": padded_by_4,
        "generator's loss, padded by 1": generation,
        "discriminator's loss, padded by 1": losses.DiscriminatorLoss()(real, other),
        "reconstruction, padded by 1": rebuilt,
        "latent vectors, padded by 1": latent,
        "discriminator's probability, padded by 1": model.discriminator(given.images)[0],
        "score, padded by 1": model(given.images).pred_score,
    }


def draem(weights: Results, given: Any) -> Results:
    """Return DRAEM's results."""
    model = loaded(module("draem.torch_model").DraemModel(bool(given.sspcab)), weights)
    repair = model.reconstructive_subnetwork(given.images)
    if given.sspcab:
        block = model.reconstructive_subnetwork.encoder.block5
        block.attention_module.register_forward_pre_hook(lambda _, given: (given[0].relu(),))
    repaired = model.reconstructive_subnetwork(given.images)
    both = importlib.import_module("torch").cat((given.images, repaired), dim=1)
    loss = module("draem.loss").DraemLoss()
    prediction = model(given.images)
    return {
        "loss": loss(
            given.images, repaired, given.masks[:, None], model.discriminative_subnetwork(both)
        ),
        "repair": repair,
        "repair, with SSPCAB's ReLU": model.reconstructive_subnetwork(given.images),
        "map": prediction.anomaly_map,
        "score": prediction.pred_score,
    }


def dsr(weights: Results, given: Any) -> Results:
    """Return DSR's results; running sums of the codes' training are not used."""
    codes = weights["discrete_latent_model._vq_vae_top._embedding.weight"]
    sums = [
        f"discrete_latent_model._vq_vae_{level}.{name}"
        for level in ("top", "bot")
        for name in ("_ema_w", "_ema_cluster_size")
    ]
    model = module("dsr.torch_model").DsrModel(num_embeddings=len(codes))
    model = loaded(model, weights, tuple(sums))
    codebooks, prediction = model.discrete_latent_model, model(given.images)
    latent = codebooks(given.images)
    low, high = latent["quantized_t"], latent["quantized_b"]
    restored_high, new_high = model.subspace_restriction_module_hi(high, codebooks.vq_vae_bot)
    restored_low, new_low = model.subspace_restriction_module_lo(low, codebooks.vq_vae_top)
    cat = importlib.import_module("torch").cat
    picture = cat((codebooks.upsample_t(new_low), new_high), dim=1)
    picture = model.image_reconstruction_network(picture)
    loss = module("dsr.loss").DsrSecondStageLoss()(
        *(restored_high, restored_low, high.roll(1, 0), low.roll(1, 0), given.images, picture),
        *(model.anomaly_detection_module(picture, latent["recon_image"]), given.masks[:, None]),
    )
    return {
        "loss": loss,
        "codes, low resolution": latent["quantized_t"],
        "codes, high resolution": latent["quantized_b"],
        "general picture": latent["recon_image"],
        "score": prediction.pred_score,
        "map": prediction.anomaly_map,
    }
