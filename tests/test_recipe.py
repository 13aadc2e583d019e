"""Looking recipes up: built-in names, presets, fields, files, import paths, and what is said of those that are not."""

from __future__ import annotations

import importlib
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import DataError, UsageError
from organza.recipe import LIMITS, LIMITS_HERE, Recipe, find, named
from organza.recipes import RECIPES
from organza.recipes.dcgan import DCGAN
from organza.recipes.dcgan import PRESETS as DCGAN_PRESETS

MINE = """
from dataclasses import dataclass
from organza.data.spec import ImageSpec
from organza.recipe import Recipe

@dataclass(frozen=True, kw_only=True)
class Mine(Recipe):
    accepts = (ImageSpec,)
    width: int = 3
    widths: tuple[int, ...] = (1, 2)

    def build(self, data):
        raise NotImplementedError
"""
PRESETS = 'PRESETS = {"big": Mine(width=30)}\n'
OTHER = MINE.replace("class Mine", "class Other").replace("width: int = 3", "width: int = 4")


def file(folder: Path, *parts: str, name: str = "my_gan.py") -> str:
    path = folder / name
    path.write_text("\n".join(parts))
    return str(path)


@pytest.mark.parametrize("name", RECIPES)
def test_every_built_in_name_finds_its_class_with_its_defaults(name: str) -> None:
    found = find(name)
    assert found.recipe == RECIPES[name]()
    assert (found.name, found.preset) == (name, None)


def test_a_preset_is_found_and_fields_replace_its_values() -> None:
    found = find("dcgan:paper", width=7, betas=[0.1, 0.2])
    assert (found.name, found.preset) == ("dcgan", "paper")
    assert isinstance(found.recipe, DCGAN)
    assert (found.recipe.latent, found.recipe.width, found.recipe.betas) == (100, 7, (0.1, 0.2))
    assert DCGAN_PRESETS["paper"].width == 64


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("dcgn", {}, r"no recipe 'dcgn' .*; did you mean 'dcgan'\? Known: .*vanilla"),
        ("zzz", {}, r"no recipe 'zzz' or a file such as ./my_gan.py\. Known: "),
        ("dcgan:papr", {}, r"no preset 'papr' of dcgan; did you mean 'paper'\? Known: "),
        ("dcgan", {"widht": 3}, r"no field 'widht' of DCGAN; did you mean 'width'\? Known: "),
        ("./missing.py", {}, r"no recipe file missing.py; write one with: organza eject dcgan"),
        ("no.such.module:Mine", {}, r"cannot import the recipe module 'no.such.module'"),
        ("dcgn:paper", {}, r"no recipe 'dcgn' .*; did you mean 'dcgan'\?"),
        ("organza.errors:DataError", {}, r"organza.errors defines no recipe: it needs a subclass of organza.Recipe"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_name(name: str, fields: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(name, **fields)


def test_a_recipe_in_a_file_of_ones_own(tmp_path: Path) -> None:
    path = file(tmp_path, MINE)
    found = find(path, width=5)
    assert (type(found.recipe).__name__, found.recipe.width, found.name, found.preset) == ("Mine", 5, path, None)
    with pytest.raises(UsageError, match=r"no preset 'big' of .*my_gan.py\. Known: none"):
        find(f"{path}:big")


def test_presets_in_a_file_of_ones_own(tmp_path: Path) -> None:
    path = file(tmp_path, MINE, PRESETS)
    found = find(f"{path}:big", widths=[4])
    assert (found.recipe.width, found.recipe.widths, found.name, found.preset) == (30, (4,), path, "big")
    with pytest.raises(UsageError, match="did you mean 'big'"):
        find(f"{path}:bgi")


def test_one_of_two_recipes_in_a_file_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, MINE, OTHER, PRESETS)
    with pytest.raises(UsageError, match=r"defines 2 recipes; name one: .*my_gan.py:Mine, .*my_gan.py:Other"):
        find(path)
    found = find(f"{path}:Other")
    assert (found.recipe.width, found.name, found.preset) == (4, path, None)
    assert find(f"{path}:big").recipe.width == 30


def test_a_recipe_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path, MINE, OTHER, name="some_module.py")
    (tmp_path / "package").mkdir()
    (tmp_path / "some_module.py").rename(tmp_path / "package" / "some_module.py")
    monkeypatch.syspath_prepend(tmp_path)
    found = find("package.some_module:Other")
    assert (type(found.recipe).__name__, found.recipe.width, found.name) == ("Other", 4, "package.some_module")
    assert find("organza.recipes.dcgan:tiny").recipe == DCGAN_PRESETS["tiny"]


def test_a_recipe_object_of_a_module_without_a_dot_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path, MINE, name="undotted_module.py")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = importlib.import_module("undotted_module").Mine(width=9)
    found = named(recipe)
    assert found.name == "undotted_module:Mine"
    assert type(find(found.name).recipe) is type(recipe)


def test_a_recipe_object_that_cannot_be_found_again_is_refused() -> None:
    class Local(DCGAN):  # pyright: ignore[reportGeneralTypeIssues]
        pass

    with pytest.raises(UsageError, match=r"Local of test_recipe could not be found again .* a file of its own"):
        named(Local())


def test_two_files_of_one_name_are_two_recipes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = find(file(tmp_path, MINE)).recipe
    second = find(file(tmp_path / "other", MINE)).recipe
    assert [named(recipe).name for recipe in (first, second)] == [
        str(tmp_path / "my_gan.py"),
        str(tmp_path / "other" / "my_gan.py"),
    ]


def test_fields_of_ones_own_may_have_other_types_under_usual_names(tmp_path: Path) -> None:
    own = MINE.replace("width: int = 3", "width: tuple[int, ...] = (3, 4)\n    latent: int | None = None")
    assert find(file(tmp_path, own)).recipe.width == (3, 4)
    with pytest.raises(UsageError, match=r"width must be above 0; got \(3, 0\)"):
        find(file(tmp_path, own), width=(3, 0))


@pytest.mark.parametrize("text", ["raise RuntimeError('on purpose')", "x = ", "import no_such_module_at_all"])
def test_a_file_that_raises_is_an_error_with_its_reason(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"my_gan.py failed to load: (RuntimeError|SyntaxError|ModuleNotFoundError): "):
        find(file(tmp_path, text))


def test_a_recipe_refuses_kinds_of_data_that_it_cannot_make(tmp_path: Path) -> None:
    recipe: Recipe = find(file(tmp_path, MINE)).recipe
    recipe.check(ImageSpec())
    with pytest.raises(DataError, match="Mine makes image data, but this source holds vector data"):
        recipe.check(VectorSpec())


BEYOND = {
    "above 0": (0, -1, math.inf),
    "at least 0": (-0.1, math.inf),
    "from 0 to 1": (-0.1, 1.1),
    "at least 0 and below 1": (-0.1, 1.0),
    "at least 0 and below log 2, 0.693": (-0.1, 0.7),
}
OF_THEIR_OWN = (
    "fake_target real_target wanted_target critical layers margin decay taps head kernel share continuous "
    "block_gain categorical"
)
"""Fields whose limits depend on others, or that have none."""


@pytest.mark.parametrize("name", RECIPES)
def test_no_family_takes_numbers_that_make_no_sense(name: str) -> None:
    recipe = find(f"{name}:tiny").recipe
    words = {field: needed for names, _, needed in (*LIMITS, *LIMITS_HERE) for field in names.split()}
    for field, value in asdict(recipe).items():
        first = next(iter(value), None) if isinstance(value, tuple) else value
        if type(first) not in (int, float) or field in OF_THEIR_OWN.split():
            continue
        for wrong in BEYOND[words[field]]:
            with pytest.raises(UsageError, match=f"^{field} must be {words[field]}; got "):
                replace(recipe, **{field: (wrong,) if isinstance(value, tuple) else wrong})


def test_names_of_our_families_are_free_in_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("width: int = 3", "width: int = 3\n    clip: float = 0.0\n    memory: int = 500"))
    assert find(f"{file}").recipe.memory == 500  # pyright: ignore
    with pytest.raises(UsageError, match="width must be above 0"):
        find(f"{file}", width=0)
