"""Imagenette2: photographs of ten easy ImageNet classes, for the out-of-distribution penalty.

Of its three sizes, the one with a shorter side of 320 px is downloaded, enough for models of
256 px; a folder of any size is read.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.sets.texture_folders import TextureFolders

_LAYOUT = TextureFolders(
    ("imagenette2-320", "imagenette2", "imagenette2-160"),
    "train/n01440764",  # tench, the first class
    parts=("train", "val"),
)

ENTRY = DatasetEntry(
    name="imagenette2",
    title="Imagenette2",
    task="texture",
    categories=(),
    license="Apache-2.0 for the selection; ImageNet's terms for the images",
    citation="Howard: Imagenette, 2019",
    homepage="https://github.com/fastai/imagenette",
    folders=("imagenette", "imagenette2_320", "imagenette2_160"),
    finder=_LAYOUT.find,
    reader=_LAYOUT.read,
    # Both its splits, 9,469 and 3,925 images: textures are neither trained nor tested on.
    counts=MappingProxyType({"": Counts(train=13_394, test=0)}),
    archives=(
        Archive(
            file="imagenette2-320.tgz",
            urls=("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",),
            bytes=341_663_724,
            sha256="569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
            md5="3df6f0d01a2c9592104656642f5e78a3",
            strip="imagenette2-320",
        ),
    ),
    ask_first=True,
    unverified=("The license's wording.",),
)
