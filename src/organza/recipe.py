"""Recipes by name: `dcgan`, `dcgan:fast`, `./my_gan.py`, `./my_gan.py:big`, `module:Class`."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import math
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

from organza.data.groups import ways_to_classes
from organza.data.spec import ImageSpec, Spec, VectorSpec
from organza.errors import DataError, UsageError
from organza.game import Game

OWN = "organza_user_"
"""Begins the names of modules that come from files of the user's own."""
Limits = tuple[tuple[str, Callable[[float], bool], str], ...]
LIMITS: Limits = (
    (
        "batch length latent width critic_width growth generator_widths critic_widths critic_repeats penalty_every "
        "generator_batch",
        lambda number: 0 < number < math.inf,
        "above 0",
    ),
    ("lr generator_lr critic_lr halflife", lambda number: 0 <= number < math.inf, "at least 0"),
    ("augment_share augment_target", lambda number: 0 <= number <= 1, "from 0 to 1"),
    ("betas", lambda number: 0 <= number < 1, "at least 0 and below 1"),
)
"""Names that fields of any recipe may have, which numbers they take, and that in words."""
LIMITS_HERE: Limits = (
    (
        "widest patch base skip expansion scales embedding generator_width generator_base critic_widest critic_base "
        "path_every mapping_layers w_size blur_until patches temperature clip class_weight epsilon mapping_rate",
        lambda number: 0 < number < math.inf,
        "above 0",
    ),
    (
        "pretrain_lr r1 r2 gradient_penalty slope drift path_length orthogonality lecam real_consistency group "
        "fake_consistency categorical_weight continuous_weight reconstruct adversarial feature_matching l1 l1_holes "
        "l1_known perceptual_weight cycle identity nce history jitter blur downs blocks depth kinds dropout_blocks "
        "critic_layers critic_depth critic_plain minibatch_std attention standing final_rate final_penalty decay_from "
        "hidden noise ramp rate_samples",
        lambda number: 0 <= number < math.inf,
        "at least 0",
    ),
    ("smooth fade mixing pretrain path_decay", lambda number: 0 <= number <= 1, "from 0 to 1"),
    ("final_beta2 dropout momentum memory growing", lambda number: 0 <= number < 1, "at least 0 and below 1"),
    ("penalty_target", lambda number: 0 <= number < math.log(2), "at least 0 and below log 2, 0.693"),
)
"""The same of the families here: elsewhere such names may mean something else."""

Sources = Literal["no", "any", "paired"]
"""What a family needs beside images: nothing, other images, or for each image the one that it is to be made from."""
Conditional = Literal["auto", "yes", "no"]
"""Whether the networks are told the labels; auto: if there are any."""


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """How to set up one family of GANs: typed fields and one method. Subclasses are final.

    A module that defines a recipe may define `PRESETS`, a dict from names to instances, `DATA`, one from names of
    presets to data options that belong to them, and `SIDES`, one to the pixels of the images that they are made for.
    """

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec, VectorSpec)
    """Kinds of data that the family can make."""
    added: ClassVar[dict[str, Any]] = {}
    """What fields meant to runs that were made before there were such fields."""
    needs_labels: ClassVar[bool] = False
    """Whether the family can learn from labelled data only, of two classes or more."""
    needs_sources: ClassVar[Sources] = "no"
    """Whether it makes images from images as large, and whether each has to come with what should be made of it."""
    pairs: ClassVar[str] = ""
    """Pairs that it makes of single images, one of `data.options.MADE`; empty: none."""
    smallest: ClassVar[int] = 1
    """Pixels that images need in height and width."""

    batch: int = 64
    """Real samples per step, over all ranks."""
    length: float = 20.0
    """Passes over the data when the run gives no budget."""

    def __post_init__(self) -> None:
        is_ours = type(self).__module__.startswith("organza.")
        for names, is_within, needed in (*LIMITS, *(LIMITS_HERE if is_ours else ())):
            for name in names.split():
                value = getattr(self, name, ())
                for number in value if isinstance(value, tuple) else (value,):
                    if type(number) in (int, float) and not is_within(number):
                        raise UsageError(f"{name} must be {needed}; got {value}")
        penalties = [name for name in ("r1", "r2", "gradient_penalty") if getattr(self, name, 0)]
        if penalties and getattr(self, "critic_norm", "") == "batch":
            names = " and ".join(penalties)
            raise UsageError(f"critic_norm batch couples the samples of a batch, so {names} must be 0")

    @abstractmethod
    def build(self, data: Spec) -> Game:
        """The game for this data: networks, optimizers, losses, on the CPU.

        Raises:
            DataError: The family cannot make such data.
        """

    def settled(self, data: Spec, name: str) -> Self:
        """The recipe with what it leaves to the data, of this name: what a run records.

        Raises:
            OrganzaError: There is nothing that suits; the message says what to do.
        """
        return self

    def fetch(self, *, offline: bool) -> None:  # noqa: B027 - most families need nothing
        """Bring what training needs from elsewhere, such as the weights of a network.

        Raises:
            OrganzaError: It cannot be had; the message says what to do.
        """

    def check(self, data: Spec) -> None:
        """Refuse data that the family cannot learn from: of another kind, or without the labels that it needs."""
        self.check_kind(data)
        self.check_labels(data)

    def check_kind(self, data: Spec) -> None:
        """Refuse data of another kind, images that are too small, and those that do not come from what is needed."""
        if not isinstance(data, self.accepts):
            kinds = " or ".join(kind.key for kind in self.accepts)
            raise DataError(
                f"{type(self).__name__} makes {kinds} data, but this source holds {data.key} data: name another with "
                "--data, or take a family that makes either: organza train dcgan"
            )
        if isinstance(data, ImageSpec) and min(data.height, data.width) < self.smallest:
            raise DataError(
                f"{type(self).__name__} needs images of {self.smallest} pixels or more in height and width, and these "
                f"have {data.width}x{data.height}: enlarge them, for example with --resize 32"
            )
        if self.needs_sources != "no" and isinstance(data, ImageSpec):
            self.check_sources(data, data.source)

    def check_labels(self, data: Spec, *, count: int | None = None, labels: bool = True) -> None:
        """Refuse data without the labels that are needed.

        Args:
            data: What is to be learned.
            count: Samples in it; None: unknown.
            labels: Whether labels were read where there are any.

        Raises:
            DataError: The message says what would do.
        """
        if (self.needs_labels or getattr(self, "conditional", "") == "yes") and data.num_classes < 2:
            who, other = type(self).__name__, "take a family that needs none: organza train dcgan"
            if not self.needs_labels:
                who, other = "conditional yes", "take --conditional auto"
            raise DataError(
                f"{who} needs labels of two classes or more, and this data has "
                f"{'one class only' if data.num_classes else 'no labels'}: "
                + ", or ".join([*ways_to_classes(data, count=count, labels=labels), other])
            )

    def check_sources(self, data: ImageSpec, source: ImageSpec | None) -> None:
        """Refuse images that come from nothing, or from others of another size, or unpaired where pairs are needed."""
        name = type(self).__name__
        if source is None:
            raise DataError(
                f"{name} makes images from images, and this data holds single ones: name both kinds with --data FOLDER "
                f"--to FOLDER{' --paired yes' * (self.needs_sources == 'paired')}, take a folder of trainA and trainB, "
                "make pairs of single images with --pairs gray, small or holes, or see it work with --data "
                "edges-to-digits"
            )
        if self.needs_sources == "paired" and not data.is_paired:
            raise DataError(
                f"{name} needs what should be made of each image, and this data is unpaired: give both sides equal "
                "file names and add --paired yes, or take a family for unpaired data: organza train cyclegan"
            )
        if (source.height, source.width) != (data.height, data.width):
            mend = f"bring both to one size with --resize {data.width}x{data.height}"
            raise DataError(
                f"{name} makes images as large as their sources, and here {source.width}x{source.height} pixels are "
                f"to become {data.width}x{data.height}: "
                + (
                    "to enlarge them take: organza train srgan"
                    if data.is_paired and data.width > source.width
                    else mend
                )
            )


def known_classes(data: Spec, conditional: Conditional) -> int:
    """How many classes the networks are told of data that `Recipe.check` let pass; 0: none."""
    return 0 if conditional == "no" or data.num_classes < 2 else data.num_classes


PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "colorize": ("pix2pix", {"pairs": "gray"}),
    "translate": ("auto", {"pairs": "none"}),
}
"""Names of tasks, the recipe that each leads to, and how it reads data."""


@dataclass(frozen=True)
class Found:
    """A recipe and where it came from, enough to find it again."""

    recipe: Recipe
    name: str
    """What to look up: a built-in name, an import path or a file."""
    preset: str | None
    why: tuple[str, ...] = ()
    """Why it was chosen, if organza chose it: one phrase each."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data options that belong to it, where the user gives no others. `pairs` is for data of single images."""
    side: int = 0
    """Pixels in height and width of the images that the preset is made for; 0: any."""

    def check(self, data: Spec, source: str) -> None:
        """Refuse images, of this source, that are not half as large as those that the preset is made for."""
        if isinstance(data, ImageSpec) and 2 * max(data.height, data.width) < self.side:
            raise DataError(
                f"{self.name}:{self.preset} is made for images of {self.side} pixels, and {source} has {data.width}x"
                f"{data.height}: take the settings for any size (organza train {shlex.quote(self.name)}), or bring the "
                f"images to that size with --resize {self.side}"
            )


def find(name: str, **fields: Any) -> Found:
    """Look a recipe up and set fields on it.

    Args:
        name: `family`, `family:preset`, `file.py`, `file.py:preset` or `module:Class`.
        fields: Values that replace those of the preset.

    Raises:
        UsageError: No such recipe, preset or field; the message suggests the nearest.
    """
    task, colon, rest = name.partition(":")
    known, implied = PLAIN.get(task, (task, {}))
    name = f"{known}{colon}{rest}"
    base, separator, preset = name.rpartition(":")
    if not separator or preset.lower().endswith(".py"):  # no preset, or the colon of a Windows drive
        base, preset = name, ""
    module, recipe_class = load(base, preset)
    presets: dict[str, Recipe] = getattr(module, "PRESETS", {})
    if preset not in presets and isinstance(getattr(module, preset, None), type):
        preset = ""
    if preset and preset not in presets:
        raise UsageError(unknown("preset", preset, presets, f"of {base}"))
    try:
        recipe = presets[preset] if preset else recipe_class()
    except TypeError as error:
        raise UsageError(f"{recipe_class.__name__} of {base} needs a default for every field: {error}") from error
    implied = getattr(module, "DATA", {}).get(preset, {}) | implied
    side = getattr(module, "SIDES", {}).get(preset, 0)
    return Found(with_fields(recipe, fields), base, preset or None, data=implied, side=side)


def named(recipe: Recipe) -> Found:
    """A recipe object with the name under which its class is found again.

    Raises:
        UsageError: There is no such name: the class belongs to a script, a notebook or a function.
    """
    from organza.recipes import RECIPES

    kind = type(recipe)
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise UsageError(
            f"the recipe class {kind.__qualname__} of {kind.__module__} could not be found again when its run is "
            'opened: put it into a file of its own, for example my_gan.py, and train "./my_gan.py" or an object that '
            "was imported from there"
        )
    if kind.__module__.startswith(OWN):
        return Found(recipe, str(getattr(sys.modules[kind.__module__], "__file__", "")), None)
    name = next((name for name, known in RECIPES.items() if known is kind), f"{kind.__module__}:{kind.__name__}")
    return Found(recipe, name, None)


def with_fields(recipe: Recipe, fields: dict[str, Any]) -> Recipe:
    """The recipe with other values; unknown names are an error."""
    known = {field.name: field for field in dataclasses.fields(recipe)}
    for key in fields:
        if key not in known:
            raise UsageError(unknown("field", key, known, f"of {type(recipe).__name__}"))
    return dataclasses.replace(recipe, **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def load(base: str, name: str) -> tuple[ModuleType, type[Recipe]]:
    """The module and the recipe class behind a name."""
    from organza.auto import Auto
    from organza.recipes import RECIPES

    known: dict[str, type[Recipe]] = {"auto": Auto} | RECIPES
    if base in known:
        recipe_class = known[base]
        return sys.modules[recipe_class.__module__], recipe_class
    if base.endswith(".py"):
        module = import_file(Path(base))
    elif "." in base or name:  # a module without a dot needs the class, so that a mere typo imports nothing
        try:
            module = importlib.import_module(base)
        except (ImportError, ValueError) as error:
            if base.isidentifier() and getattr(error, "name", None) == base:
                where = "or a file such as ./my_gan.py, nor a module that is installed or whose folder is on PYTHONPATH"
                raise UsageError(unknown("recipe", base, known, where)) from error
            raise UsageError(f"cannot import the recipe module {base!r}: {error}") from error
    else:
        raise UsageError(unknown("recipe", base, [*known, *PLAIN], "or a file such as ./my_gan.py"))
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Recipe) and value.__module__ == module.__name__
    ]
    named = [value for value in own if value.__name__ == name]
    if not (named or own):
        raise UsageError(f"{base} defines no recipe: it needs a subclass of organza.Recipe")
    if len(own) > 1 and not named and name not in getattr(module, "PRESETS", {}):
        raise UsageError(
            f"{base} defines {len(own)} recipes; name one: " + ", ".join(f"{base}:{c.__name__}" for c in own)
        )
    return module, (named or own)[0]


def import_file(path: Path) -> ModuleType:
    """Run the user's own Python file as a module."""
    if not path.is_file():
        raise UsageError(f"no recipe file {path}; write one with: organza eject dcgan")
    name = f"{OWN}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} failed to load: {type(error).__name__}: {error}") from error
    return module


def unknown(kind: str, name: str, known: Any, where: str) -> str:
    """A message with a did-you-mean, whatever the case."""
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=1)
    hint = f"; did you mean {spelled[close[0]]!r}?" if close else "."
    return f"no {kind} {name!r} {where}{hint} Known: {', '.join(known) or 'none'}"
