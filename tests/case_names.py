"""Cases by their ids, for tests."""

from bench.case import Case


def case_named(case_id):
    """The case of an id."""
    variant, data, augmentation, init, *shots, replicate = case_id.split("-")
    (model, _, recipe), (dataset, _, category) = variant.partition("."), data.partition(".")
    pretrained = {"pretrained": True, "scratch": False}[init]
    return Case(
        *(model, recipe or "baseline", dataset, category or None),
        *(augmentation, pretrained, int(replicate[1:])),
        *(int(part.removesuffix("shot")) for part in shots),
    )
