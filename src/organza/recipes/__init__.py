"""The built-in families: one file each. A family is reached by its key here, and nothing else registers it."""

from organza.recipe import Recipe
from organza.recipes.dcgan import DCGAN
from organza.recipes.vanilla import VanillaGAN

RECIPES: dict[str, type[Recipe]] = {
    "dcgan": DCGAN,
    "vanilla": VanillaGAN,
}
