"""Every set of pretrained weights, by its full tag; imports neither torch nor timm."""

from models.catalog.entry import WeightsEntry

_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download"
_HUB = "https://huggingface.co"
_TORCHVISION_TERMS = "https://github.com/pytorch/vision#pre-trained-model-license"


def _torchvision(architecture: str, file: str, copied: bool = True) -> WeightsEntry:
    """Return the entry of a file by torchvision, which states no license of its weights.

    Model cards of timm's copies state one, so it is empty here if timm has no copy.
    """
    full = f"{architecture}.tv_in1k"
    return WeightsEntry(
        tag=full,
        architecture=architecture,
        url=f"https://download.pytorch.org/models/{file}.pth",
        file_stems=(full, architecture, file),
        license="BSD-3-Clause" if copied else "",
        license_page=f"{_HUB}/timm/{full}" if copied else _TORCHVISION_TERMS,
    )


def _deit(architecture: str, file: str, tag: str) -> WeightsEntry:
    """Return the entry of a DeiT or CaiT by its authors, whose tensor names timm also uses."""
    full = f"{architecture}.{tag}"
    return WeightsEntry(
        tag=full,
        architecture=architecture,
        url=f"https://dl.fbaipublicfiles.com/deit/{file}.pth",
        file_stems=(full, architecture, file),
        license="Apache-2.0",
        license_page=f"{_HUB}/timm/{full}",
    )


def _pdn(size: str) -> WeightsEntry:
    """Return the entry of EfficientAD's teacher: a file of a reproduction, or distilled here."""
    return WeightsEntry(
        tag=f"pdn_{size}.distilled",
        architecture=f"pdn_{size}",
        url=f"https://github.com/nelson1425/EfficientAD/raw/main/models/teacher_{size}.pth",
        file_stems=(f"pdn_{size}", f"teacher_{size}", f"pretrained_teacher_{size}"),
        made_by=f"python -m bench distill {size} --out DIR/pdn_{size}.pth",
        license="Apache-2.0",
        license_page="https://github.com/nelson1425/EfficientAD/blob/main/LICENSE",
    )


def _dinov2(architecture: str, file: str) -> WeightsEntry:
    """Return the entry of a DINOv2 with four registers: its authors' file, the source of timm's."""
    tag = f"{architecture}.lvd142m"
    return WeightsEntry(
        tag=tag,
        architecture=architecture,
        url=f"https://dl.fbaipublicfiles.com/dinov2/{file}/{file}_reg4_pretrain.pth",
        file_stems=(tag, architecture, f"{file}_reg4_pretrain"),
        license="Apache-2.0",
        license_page="https://github.com/facebookresearch/dinov2#license",
    )


# torchvision IMAGENET1K_V1, whose timm tag is tv_in1k; timm has no tag for torchvision's ConvNeXt.
PUBLISHED_WEIGHTS = (
    _torchvision("resnet18", "resnet18-f37072fd"),
    _torchvision("resnet50", "resnet50-0676ba61"),
    _torchvision("wide_resnet50_2", "wide_resnet50_2-95faca4d"),
    # EfficientAD's teacher is distilled from its features.
    _torchvision("wide_resnet101_2", "wide_resnet101_2-32ee1156"),
    _torchvision("convnext_tiny", "convnext_tiny-983f1562", copied=False),
    # timm's own weights of this architecture differ; these are torchvision's.
    _torchvision("efficientnet_b5", "efficientnet_b5_lukemelas-1a07897c", copied=False),
    _pdn("small"),
    _pdn("medium"),
    # DSR's VQ-VAE: the authors' file, which anomalib mirrors in an archive, or one trained here.
    WeightsEntry(
        tag="dsr_vqvae.pretrained",
        architecture="dsr_vqvae",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        url="https://github.com/open-edge-platform/anomalib/releases/download/"
        "dsr_pretrained_weights/dsr_vq_model_pretrained.zip",
        file_stems=("dsr_vqvae", "vq_model_pretrained_128_4096", "dsr_vq_model_pretrained"),
        made_by="python -m bench pretrain --out DIR/dsr_vqvae.pth",
        suffixes=(".pckl", ".zip"),
        # The authors' code is Apache-2.0; neither they nor anomalib state a license of the file.
        license_page="https://github.com/VitjanZ/DSR_anomaly_detection",
    ),
    # The authors' own weights: a plain convnext_tiny file in a folder does not count as these.
    WeightsEntry(
        tag="convnext_tiny.fb_in1k",
        architecture="convnext_tiny",
        url="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224_ema.pth",
        file_stems=("convnext_tiny.fb_in1k", "convnext_tiny_1k_224_ema"),
        license="MIT",  # cards of its copies on Hugging Face state Apache-2.0
        license_page="https://github.com/facebookresearch/ConvNeXt#license",
    ),
    # The weights that timm used for resnet50 and vit_small when the mixing study was run.
    WeightsEntry(
        tag="resnet50.a1_in1k",
        architecture="resnet50",
        url=f"{_TIMM}/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth",
        file_stems=("resnet50.a1_in1k", "resnet50_a1_0-14fe96d1"),
        license="Apache-2.0",
        license_page=f"{_HUB}/timm/resnet50.a1_in1k",
    ),
    WeightsEntry(
        tag="vit_small_patch16_224.augreg_in21k_ft_in1k",
        architecture="vit_small_patch16_224",
        url=f"{_HUB}/timm/vit_small_patch16_224.augreg_in21k_ft_in1k/resolve/main/"
        "model.safetensors",
        file_stems=("vit_small_patch16_224.augreg_in21k_ft_in1k", "vit_small_patch16_224"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        license="Apache-2.0",
        license_page=f"{_HUB}/timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
    ),
    _deit("deit_tiny_patch16_224", "deit_tiny_patch16_224-a1311bcf", "fb_in1k"),
    _deit("deit_base_distilled_patch16_384", "deit_base_distilled_patch16_384-d0272ac0", "fb_in1k"),
    _deit("cait_m48_448", "M48_448", "fb_dist_in1k"),
    _deit("cait_s24_224", "S24_224", "fb_dist_in1k"),
    WeightsEntry(  # U-Flow's multi-scale CaiT
        tag="mcait.fb_dist_in1k",
        architecture="mcait",
        url="https://dl.fbaipublicfiles.com/deit/M48_448.pth",
        file_stems=(),
        parts=("cait_m48_448.fb_dist_in1k", "cait_s24_224.fb_dist_in1k"),
        license="Apache-2.0",
        license_page="https://github.com/facebookresearch/deit/blob/main/README_cait.md#license",
    ),
    _dinov2("vit_small_patch14_reg4_dinov2", "dinov2_vits14"),
    _dinov2("vit_base_patch14_reg4_dinov2", "dinov2_vitb14"),
    _dinov2("vit_large_patch14_reg4_dinov2", "dinov2_vitl14"),
)
