"""Names of the peer's tensors by ours, for `bench.perf.parity`: prefixes, as data."""

UNINET_BOTTLENECK = {
    "low.0.": "conv1.",
    "low.1.": "bn1.",
    "low.3.": "conv2.",
    "low.4.": "bn2.",
    "middle.0.": "conv3.",
    "middle.1.": "bn3.",
    **{
        f"blocks.{block}.{ours}.": f"bn_layer.0.{block}.{theirs}."
        for block in range(3)
        for ours, theirs in {
            "first.0": "conv3x3",
            "first.1": "bn2",
            "first.3": "conv3x3_",
            "first.4": "bn5",
            "second.0": "conv7x7",
            "second.1": "bn4",
            "second.3": "conv7x7_",
            "second.4": "bn6",
            "merge.0": "conv3",
            "merge.1": "bn3",
            "shortcut": "downsample",
        }.items()
    },
}
"""The peer's names of UniNet's bottleneck, by ours."""

_GANOMALY_ENCODER = {
    "0.": "input_layers.initial-conv-3-64.",
    "2.": "pyramid_features.pyramid-64-128-conv.",
    "3.": "pyramid_features.pyramid-128-batchnorm.",
    "5.": "pyramid_features.pyramid-128-256-conv.",
    "6.": "pyramid_features.pyramid-256-batchnorm.",
    "8.": "pyramid_features.pyramid-256-512-conv.",
    "9.": "pyramid_features.pyramid-512-batchnorm.",
    "11.": "final_conv_layer.",
}
_GANOMALY_DECODER = {
    "0.": "latent_input.initial-100-512-convt.",
    "1.": "latent_input.initial-512-batchnorm.",
    "3.": "inverse_pyramid.pyramid-512-256-convt.",
    "4.": "inverse_pyramid.pyramid-256-batchnorm.",
    "6.": "inverse_pyramid.pyramid-256-128-convt.",
    "7.": "inverse_pyramid.pyramid-128-batchnorm.",
    "9.": "inverse_pyramid.pyramid-128-64-convt.",
    "10.": "inverse_pyramid.pyramid-64-batchnorm.",
    "12.": "final_layers.final-64-3-convt.",
}
GANOMALY = {
    "encoder": ("encoder1", _GANOMALY_ENCODER),
    "decoder": ("decoder", _GANOMALY_DECODER),
    "second_encoder": ("encoder2", _GANOMALY_ENCODER),
}
"""The peer's part and names within, for 64 pixels, by our part of GANomaly's generator."""

_DRAEM_UP = ("up_b", "up1", "up2", "up3", "up4")
_DRAEM_DECODER = ("db_b", "db1", "db2", "db3", "db4")
DRAEM = {
    **{f"reconstruction.encoder.{n}.": f"encoder.block{n + 1}." for n in range(5)},
    **{f"reconstruction.decoder.{n}.0.": f"decoder.up{n + 1}." for n in range(4)},
    **{f"reconstruction.decoder.{n}.1.": f"decoder.db{n + 1}." for n in range(4)},
    **{
        f"reconstruction.encoder.4.corners.{n}.": f"encoder.block5.masked_conv{n + 1}."
        for n in range(4)
    },
    "reconstruction.encoder.4.attention.0.": "encoder.block5.attention_module.fc1.",
    "reconstruction.encoder.4.attention.2.": "encoder.block5.attention_module.fc2.",
    "reconstruction.decoder.4.": "decoder.fin_out.0.",
    **{f"segmentation.encoder.{n}.": f"encoder_segment.block{n + 1}." for n in range(6)},
    **{f"segmentation.up.{n}.": f"decoder_segment.{_DRAEM_UP[n]}." for n in range(5)},
    **{f"segmentation.decoder.{n}.": f"decoder_segment.{_DRAEM_DECODER[n]}." for n in range(5)},
    "segmentation.out.": "decoder_segment.fin_out.0.",
}
"""The peer's names within DRAEM's two networks, by ours."""

_DSR_U_NET = {
    **{f"encoder.{n}.": f"unet.encoder.block{n + 1}." for n in range(4)},
    **{f"up.{n}.": f"unet.decoder.up{n + 1}." for n in range(3)},
    **{f"decoder.{n}.": f"unet.decoder.db{n + 1}." for n in range(3)},
    "out.": "unet.decoder.fin_out.0.",
}
_DSR_RESTRICTION = {
    **{f"encoder.{n}.": f"unet.encoder.block{n + 1}." for n in range(3)},
    "decoder.0.0.": "unet.decoder.up2.",
    "decoder.0.1.": "unet.decoder.db2.",
    "decoder.1.0.": "unet.decoder.up3.",
    "decoder.1.1.": "unet.decoder.db3.",
    "decoder.2.": "unet.decoder.fin_out.0.",
}
_DSR_OBJECT_DECODER = {
    "0.": "block1.",
    "2.": "block2.",
    "4.": "pre_vq_conv.",
    "5.": "upblock1.",
    "7.": "upblock2.",
    "9.": "_conv_1.",
    **{
        f"10.blocks.{block}.{layer}.": f"_residual_stack._layers.{block}._block.{2 * layer + 1}."
        for block in range(2)
        for layer in range(2)
    },
    "11.": "_conv_trans_1.",
    "13.": "_conv_trans_2.",
}
DSR = {
    "restriction_lo.": ("subspace_restriction_module_lo.", _DSR_RESTRICTION),
    "restriction_hi.": ("subspace_restriction_module_hi.", _DSR_RESTRICTION),
    "object_decoder.": ("image_reconstruction_network.", _DSR_OBJECT_DECODER),
    "segmentation.": ("anomaly_detection_module.", _DSR_U_NET),
    "upsampler.": ("upsampling_module.", _DSR_U_NET),
}
"""The peer's prefix and names within, by our part of DSR."""

EFFICIENTAD = {
    "teacher.": "teacher.",
    "student.": "student.",
    **{f"autoencoder.encoder.{n}.": f"ae.encoder.enconv{n + 1}." for n in range(5)},
    "autoencoder.bottleneck.": "ae.encoder.enconv6.",
    **{f"autoencoder.decoder.{n}.": f"ae.decoder.deconv{n + 1}." for n in range(6)},
    "autoencoder.smooth.": "ae.decoder.deconv7.",
    "autoencoder.out.": "ae.decoder.deconv8.",
}
"""The peer's names of EfficientAD's networks, by ours."""
