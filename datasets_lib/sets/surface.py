"""Generated textures, for studies of defects without a download."""

from datasets_lib import surface
from datasets_lib.entry import DatasetEntry

ENTRY = DatasetEntry(
    name="surface",
    title="Surface (generated)",
    task="anomaly",
    categories=surface.CATEGORIES,
    license="Apache-2.0",
    generator="datasets_lib.surface.generate:generate",
    version=surface.VERSION,
    embedded=True,
)
