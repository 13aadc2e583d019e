"""The built-in families: one file each. A family is reached by its key here, and nothing else registers it."""

from organza.recipe import Recipe
from organza.recipes.acgan import ACGAN
from organza.recipes.biggan import BigGAN
from organza.recipes.cgan import CGAN
from organza.recipes.cut import CUT
from organza.recipes.cyclegan import CycleGAN
from organza.recipes.dcgan import DCGAN
from organza.recipes.fastgan import FastGAN
from organza.recipes.infogan import InfoGAN
from organza.recipes.inpaint import Inpaint
from organza.recipes.lsgan import LSGAN
from organza.recipes.pix2pix import Pix2Pix
from organza.recipes.progan import ProGAN
from organza.recipes.r3gan import R3GAN
from organza.recipes.sngan import SNGAN
from organza.recipes.srgan import SRGAN
from organza.recipes.stylegan2 import StyleGAN2
from organza.recipes.stylegan3 import StyleGAN3
from organza.recipes.vanilla import VanillaGAN
from organza.recipes.wgan import WGAN
from organza.recipes.wgan_gp import WGANGP

RECIPES: dict[str, type[Recipe]] = {
    "acgan": ACGAN,
    "biggan": BigGAN,
    "cgan": CGAN,
    "cut": CUT,
    "cyclegan": CycleGAN,
    "dcgan": DCGAN,
    "fastgan": FastGAN,
    "infogan": InfoGAN,
    "inpaint": Inpaint,
    "lsgan": LSGAN,
    "pix2pix": Pix2Pix,
    "progan": ProGAN,
    "r3gan": R3GAN,
    "sngan": SNGAN,
    "srgan": SRGAN,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "vanilla": VanillaGAN,
    "wgan": WGAN,
    "wgan_gp": WGANGP,
}
