"""PatchCore: a coreset of patch features as memory bank."""
