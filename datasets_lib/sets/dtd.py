"""Describable Textures: 47 kinds of texture, pasted as synthetic defects."""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.sets.texture_folders import TextureFolders

_LAYOUT = TextureFolders(("dtd",), "images", parts=("images",))

ENTRY = DatasetEntry(
    name="dtd",
    title="Describable Textures Dataset",
    task="texture",
    categories=(),
    license="research purposes only",
    citation="Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi: Describing Textures in the Wild, CVPR 2014",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    folders=("dtd_r1_0_1",),
    finder=_LAYOUT.find,
    reader=_LAYOUT.read,
    counts=MappingProxyType({"": Counts(train=5_640, test=0)}),
    archives=(
        Archive(
            file="dtd-r1.0.1.tar.gz",
            urls=(
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                "https://thor.robots.ox.ac.uk/dtd/dtd-r1.0.1.tar.gz",
            ),
            bytes=625_239_812,
            sha256="e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
            strip="dtd",
        ),
    ),
    ask_first=True,
    unverified=("The license's wording.", "Only users name the second address."),
)
