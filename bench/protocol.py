"""Profiles name a budget; a protocol is a recipe resolved under a profile."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from typing import Any

from bench.changes import change_recipe, with_epochs
from bench.recorded_protocol import describe_shape, protocol_hash
from datasets_lib.images.geometry import Fit, Geometry
from models.catalog import ClassifierRecipe, ModelEntry, Recipe
from models.components.image_size import ImageSize, height_width, image_size


@dataclass(frozen=True)
class Budget:
    """The limits of a case of a task.

    Attributes:
        image_size: Image side in pixels; None means the model's, or the dataset's for classifiers.
        train_limit: Maximum number of training images; None means all.
        test_limit: Maximum number of test images, stratified by kind of defect.
        images_seen: Training budget in images; None means the recipe's epochs.
        recipes: Recipes that are collected without ``--recipes``; None means all.
    """

    image_size: int | None = None
    train_limit: int | None = None
    test_limit: int | None = None
    images_seen: int | None = None
    recipes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Profile:
    """Budgets and a set of recipes. Records of two profiles never share a table.

    Attributes:
        sizes: Description of the image sizes.
        budgets: Description of the training budgets.
        anomaly: Budget of anomaly detection.
        classification: Budget of classification.
        calibration: Whether normal images are held out of training to set the threshold.
        surface_textures: Number of textures of `surface` that are collected; None means all.
    """

    name: str
    sizes: str
    budgets: str = ""
    anomaly: Budget = Budget()
    classification: Budget = Budget()
    calibration: bool = True
    surface_textures: int | None = None

    def budget(self, task: str) -> Budget:
        """Return the budget of ``anomaly`` or ``classification``."""
        return self.classification if task == "classification" else self.anomaly

    def images_seen(self, entry: ModelEntry) -> int | None:
        """Return the training budget of a model in images; None means its recipe's epochs."""
        if self.name == "smoke" and entry.smoke_images:
            return entry.smoke_images
        return self.budget(entry.task).images_seen

    def describe(self, size: str = "", images_seen: int | None = None) -> str:
        """Return one line about sizes and budgets, with the values that an option sets instead.

        Args:
            size: Size of images in words; empty means the profile's.
            images_seen: Training budget in images; None means the profile's.
        """
        size = size or self.sizes
        limits = (self.anomaly.train_limit, self.anomaly.test_limit)
        images = ", at most {} train and {} test images".format(*limits) if all(limits) else ""
        budget = f"{images_seen:,} images seen" if images_seen else self.budgets
        return f"{size}{images}" + (f", {budget}" if budget else "")


_MOST_STANDARD_EPOCHS = 50
"""Passes of the ``standard`` profile for models whose entry states none: the recipe's, at most."""

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            sizes="128 px",
            budgets="about 2,000 images seen; classifiers: 10,000 images seen",
            anomaly=Budget(
                image_size=128,
                train_limit=64,
                test_limit=64,
                images_seen=2_000,
                recipes=("baseline",),
            ),
            classification=Budget(images_seen=10_000, recipes=("baseline",)),
            surface_textures=1,
        ),
        Profile("standard", "the model's own size", "a budget of minutes on one GPU"),
        Profile("original", "the original studies' settings", calibration=False),
        Profile(
            "paper",
            sizes="each paper's own settings",
            budgets="classifiers: a modern recipe, 200 epochs",
            classification=Budget(recipes=("baseline",)),
            calibration=False,
        ),
    )
}


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a run except its data, its weights and its seed.

    Attributes:
        options: Keyword arguments of the model's ``build``.
        image_size: Size that images are fitted into; with tiles, that of a tile.
        crop: Size of the center crop of the resized images; None keeps all.
        images_seen: Training budget in images; None means the recipe's own.
        precision: Training precision; ``bf16`` is autocast. Evaluation is always float32.
        fit: How images of another aspect ratio fit, as in `datasets_lib.images.geometry`.
        tiles: Rows and columns of tiles that a frame is cut into; None means one frame, one image.
        overlap: Rows or columns of pixels that neighboring tiles share.
        changed: The recipe's own values of the fields that the user changed.
        normalize: Whether a frozen backbone normalizes images as its weights want it.
        seed_base: Seed of replicate s0; None means the model's own.
        resumed_from: Hash of the file that training resumes from; empty if it starts anew.
    """

    profile: str
    recipe_name: str
    recipe: Recipe
    options: Mapping[str, Any]
    image_size: ImageSize
    crop: ImageSize | None
    augmentation: str
    precision: str
    images_seen: int | None
    train_limit: int | None
    test_limit: int | None
    calibration: bool
    evaluation_batch: int = 32
    fit: Fit = "squash"
    tiles: tuple[int, int] | None = None
    overlap: int = 0
    changed: Mapping[str, Any] = field(default_factory=dict)
    normalize: bool = True
    seed_base: int | None = None
    resumed_from: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @property
    def hash(self) -> str:
        """Return sixteen hex digits over every field except the recipe's source.

        A recipe's fields, and those of `ADDED_FIELDS`, count where they differ from their defaults,
        so that a field added later leaves older hashes as they are.
        """
        return protocol_hash(self.as_dict(), type(self.recipe))

    def total_images(self, fitted: int) -> int:
        """Return the number of images that training shows, given the size of the training set."""
        if self.recipe.optimizer == "none":
            return fitted
        recipe = self.recipe
        return self.images_seen or budget_in_images(
            recipe.images, recipe.epochs, recipe.batch_size, fitted
        )

    @property
    def input_size(self) -> ImageSize:
        """Return the size of the images that the model sees."""
        return self.crop or self.image_size

    def textures(self, fit: Fit) -> Geometry:
        """Return the geometry of auxiliary images, whose aspect ratio a rectangle keeps."""
        height, width = height_width(self.input_size)
        return Geometry(height, width, "crop" if fit == "squash" and height != width else fit)

    @property
    def frame(self) -> Geometry:
        """Return the frame that a whole image is fitted into: with tiles, that of all of them."""
        height, width = height_width(self.image_size)
        rows, columns = self.tiles or (1, 1)
        return Geometry(
            rows * height - (rows - 1) * self.overlap,
            columns * width - (columns - 1) * self.overlap,
            self.fit,
        )


def budget_in_images(images: int | None, epochs: int, batch_size: int, fitted: int) -> int:
    """Return the number of images that a recipe shows.

    A budget in images stands for the steps of a paper, whose batches are whole: fewer training
    images than a batch leave the number of steps as it is, and make the batches smaller.

    Args:
        images: The recipe's budget in images; None means its epochs.
        epochs: Passes over the training images.
        batch_size: Number of images of a whole batch.
        fitted: Number of training images.

    >>> budget_in_images(80_000, 50, 16, 209), budget_in_images(80_000, 50, 16, 4)
    (80000, 20000)
    """
    if images is None:
        return epochs * fitted
    return images if fitted >= batch_size else ceil(images / batch_size) * fitted


def resolve(
    entry: ModelEntry,
    recipe_name: str,
    profile: Profile,
    *,
    augmentation: str = "default",
    precision: str = "float32",
    pretrained: bool = False,
    native_size: int | None = None,
    images_seen: int | None = None,
    image_size: ImageSize | None = None,
    shots: int | None = None,
    multi_class: bool = False,
    fit: Fit = "squash",
    tiles: tuple[int, int] | None = None,
    overlap: int = 0,
    changes: Mapping[str, Any] | None = None,
    normalize: bool = True,
    seed_base: int | None = None,
    resumed_from: str = "",
) -> Protocol:
    """Return the protocol of a model's recipe under a profile.

    Args:
        entry: The model's catalog entry.
        recipe_name: Name of one of the entry's recipes.
        profile: The profile.
        augmentation: The case's augmentation.
        precision: ``float32`` or ``bf16``; a model without an optimizer always has float32.
        pretrained: Whether the model starts from weights.
        native_size: Image side of classifiers on the case's dataset.
        images_seen: Training budget in images, instead of the profile's; a model without an
            optimizer has one pass whatever it is.
        image_size: Size of the images that are fitted, instead of the profile's.
        shots: Number of training images of a few-shot case, all used for training: none calibrates.
            A budget in passes is the recipe's own, whatever the profile's in images.
        multi_class: Whether it is one model of all categories.
        fit: How images of another aspect ratio are fitted.
        tiles: Rows and columns of tiles, each of the size of an image.
        overlap: Rows or columns of pixels that neighboring tiles share.
        changes: Fields of the recipe to change, see `bench.changes`.
        normalize: See `Protocol`.
        seed_base: See `Protocol`.
        resumed_from: See `Protocol`.

    Raises:
        ValueError: The recipe has no such field.
    """
    recipe = _under_profile(entry, entry.recipes[recipe_name], profile, pretrained, multi_class)
    recipe, changed = change_recipe(recipe, changes or {})
    budget = profile.budget(entry.task)
    in_passes = (shots is not None and recipe.images is None) or "epochs" in (changes or {})
    is_trained = recipe.optimizer != "none"
    asked_images = images_seen if is_trained else None
    size, crop = input_sizes(entry, profile, image_size or budget.image_size, native_size)
    if crop is not None and (fit != "squash" or tiles):
        # Padded, cropped or tiled images already show what they should: no second crop on top.
        size, crop = image_size or crop, None
    return Protocol(
        profile=profile.name,
        recipe_name=recipe_name,
        recipe=recipe,
        options={**entry.options, **recipe.options},
        image_size=size,
        crop=crop,
        augmentation=augmentation,
        precision=precision if is_trained else "float32",
        images_seen=asked_images or (None if in_passes else profile.images_seen(entry)),
        train_limit=shots or budget.train_limit,
        test_limit=budget.test_limit,
        calibration=profile.calibration and entry.task == "anomaly" and shots is None,
        fit=fit,
        tiles=tiles,
        overlap=overlap,
        changed=changed,
        normalize=normalize,
        seed_base=None if seed_base == entry.seed_base else seed_base,
        resumed_from=resumed_from,
    )


def _under_profile(
    entry: ModelEntry, recipe: Recipe, profile: Profile, pretrained: bool, multi_class: bool
) -> Recipe:
    """Return a recipe as a profile trains it, with or without pretrained weights."""
    if profile.name == "paper":
        recipe = _in_paper(entry, recipe, multi_class)
    if profile.name == "standard" and recipe.images is None:
        recipe = with_epochs(
            recipe, entry.standard_epochs or min(recipe.epochs, _MOST_STANDARD_EPOCHS)
        )
    if isinstance(recipe, ClassifierRecipe) and pretrained and recipe.pretrained_lr is not None:
        recipe = replace(recipe, lr=recipe.pretrained_lr)
    return recipe


def _in_paper(entry: ModelEntry, recipe: Recipe, multi_class: bool) -> Recipe:
    """Return a recipe as the ``paper`` profile trains it.

    Recipes that differ from the baseline in loss or options alone get the paper's budget and
    optimizer as well, so that nothing else distinguishes them there.
    """
    paper, baseline = entry.paper_recipe, entry.recipes["baseline"]
    if paper is None:
        return recipe
    images = (entry.paper_multi_class_images if multi_class else None) or paper.images
    if recipe == baseline:
        return replace(paper, images=images)
    own = {name: getattr(recipe, name) for name in ("loss", "options", "source")}
    if replace(baseline, **own) != recipe:
        return recipe
    return replace(paper, images=images, **own)


def input_sizes(
    entry: ModelEntry, profile: Profile, asked: ImageSize | None, native: int | None
) -> tuple[ImageSize, ImageSize | None]:
    """Return the size that images are resized to, and the size of their center crop if any.

    Args:
        entry: The model's catalog entry.
        profile: The profile.
        asked: Size that an option or the profile's budget sets.
        native: Image side of classifiers on the case's dataset.
    """
    if asked is not None:  # the model's cropped share, rounded to whole strides of a backbone
        share = (entry.crop or entry.image_size) / entry.image_size
        height, width = (round(side * share / 32) * 32 for side in height_width(asked))
        return asked, image_size(height, width) if entry.crop else None
    if entry.task == "classification":
        return native or entry.image_size, None
    if profile.name == "paper" and entry.paper_input is not None:
        return entry.paper_input
    return entry.image_size, entry.crop


def shape_problem(entry: ModelEntry, plan: Protocol) -> str:
    """Return why a model cannot take a protocol's images; empty if no reason is known."""
    height, width = height_width(plan.image_size)
    if entry.task == "classification":
        if height != width or plan.fit != "squash" or plan.tiles:
            return (
                f"{entry.name} classifies square images: wanted only --image-size N, found "
                f"{describe_shape(plan.image_size, plan.fit, plan.tiles, plan.overlap)}. Use "
                "--fit and --tiles only with anomaly models, such as with -k anomaly."
            )
        return ""
    if plan.tiles and 2 * plan.overlap > min(height, width):
        return (
            f"Tiles of {height}×{width} px cannot share {plan.overlap} px with each neighbor: "
            f"wanted an --overlap of at most {min(height, width) // 2}, half of a tile's side."
        )
    return ""
