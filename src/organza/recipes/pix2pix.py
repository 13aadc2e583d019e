"""pix2pix: an image from an image, learned from pairs; and what pix2pixHD adds.

Isola, Zhu, Zhou, Efros. "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017
(arXiv:1611.07004). Wang, Liu, Zhu, Tao, Kautz, Catanzaro. "High-Resolution Image Synthesis and Semantic Manipulation
with Conditional GANs", CVPR 2018 (arXiv:1711.11585): several critics, feature matching, maps of indices.

Differs from the papers: any size, also one that does not divide; dropout follows from a number per sample, so that
noise is the same on any number of ranks; averaged weights; no local enhancer, no instance maps. The class's defaults
are for small images and a few minutes: the L1 distance alone at first, then a perceptual loss (pix2pixHD's) and a small
critic without norms; instance norm in the generator, doubling without a grid, larger steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, one_hot

from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Shared, Turn
from organza.inference import at_once, from_sources
from organza.losses import OBJECTIVES
from organza.nets.layers import Init, initialise
from organza.nets.patch_critic import MultiScaleCritic, feature_distance
from organza.nets.residual import MapNorm
from organza.nets.translator import ResidualTranslator
from organza.nets.unet import Doubler, UNet
from organza.translation import COLUMNS, Compared, Translation


@final
@dataclass(frozen=True, kw_only=True)
class Pix2Pix(Translation, Compared):
    """A generator that is told the source, a critic of patches that sees source and image, and an L1 distance."""

    smallest: ClassVar[int] = 2

    batch: int = 16
    """Pairs per step, over all ranks."""
    kinds: int = 0
    """Sources are gray maps of indices from 0 to this number less one, as of `label_nc`; 0: they are images."""
    generator: Literal["unet", "resnet"] = "unet"
    """U-Net (pix2pix) or residual blocks at low resolution (pix2pixHD's global generator)."""
    width: int = 24
    """Channels of the generator's largest map, doubled at each halving."""
    depth: int = 0
    """Halvings; 0: for a U-Net until the shorter side is 1, for residual blocks 2."""
    blocks: int = 4
    """Residual blocks, where the generator has them."""
    dropout: float = 0.5
    """Share of the U-Net's inner features that is dropped, also after training: its only noise."""
    dropout_blocks: int = 2
    """Doublings that have it, from the smallest map on."""
    up: Doubler = "repeated"
    """How the U-Net doubles its maps: transposed convolutions (as in the paper) can leave a grid."""
    generator_norm: MapNorm = "instance"
    """Norm of the generator's layers."""
    critic_norm: MapNorm = "none"
    """Norm of the critic's layers."""
    critic_layers: int = 2
    """Halvings of the critic: 0, 1, 2, 3 judge patches of 1, 16, 34, 70 pixels."""
    critic_width: int = 8
    """Channels of the critic's first layer, doubled at each further one."""
    scales: int = 1
    """Critics, each for half the size of the one before."""
    loss: Literal["nonsaturating", "minimax", "least_squares", "hinge"] = "nonsaturating"
    """The game that is played with the scores."""
    adversarial: float = 1.0
    """Weight of the game in the generator's loss; 0: no critic."""
    l1: float = 100.0
    """Weight of the mean absolute difference of pixels."""
    pretrain: float = 0.8
    """Share of the budget that is spent on the L1 distance alone, which is faster; 0 in the papers."""
    feature_matching: float = 0.0
    """Weight of the same distance of the critic's features; 10 in pix2pixHD."""
    perceptual_weight: float = 150.0
    """Weight of what the network finds that compares results with the truth; with VGG19's layers 10 in pix2pixHD."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 2e-3
    """Adam step size of the generator at the start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.adversarial + self.l1 + (self.perceptual_weight if self.is_compared else 0):
            raise UsageError("adversarial, l1 and perceptual_weight are all 0, or compare nothing: nothing to learn")
        if self.pretrain and not self.l1:
            raise UsageError(f"pretrain learns by l1, which is 0, so pretrain must be 0; got {self.pretrain}")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each, which share the pass of the generator."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        assert data.source is not None
        g, c = self.networks(data, data.source)
        objective, unlike = OBJECTIVES[self.loss], self.unlikeness(data)

        def told(source: Tensor) -> Tensor:
            return indices_to_maps(source, self.kinds) if self.kinds else source

        def inputs(source: Tensor, seeds: Tensor) -> tuple[Tensor, ...]:
            return (told(source), seeds) if self.generator == "unet" else (told(source),)

        def make(network: nn.Module, source: Tensor, seeds: Tensor) -> Tensor:
            return network(*inputs(source, seeds))

        def seen(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            """The source as the critic sees it, the image, and what is made of the source."""
            batch = self.moved(batch)
            given = inputs(batch["source"], batch["seed"])
            return given[0], batch["image"], shared(*given, key=batch["jitter"])

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            source, image, fake = seen(batch)
            judged = zip(c(image, source), c(fake.detach(), source), strict=True)
            scores = [(real.flatten(1), made.flatten(1)) for (real, _), (made, _) in judged]
            terms = torch.stack([objective.critic(real, made) for real, made in scores])
            real_score, fake_score = (torch.stack([pair[side].mean(1) for pair in scores]).mean(0) for side in (0, 1))
            return Loss({self.loss: terms.mean()}, watch=objective.watch(real_score, fake_score))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            source, image, fake = seen(batch)
            distance = l1_loss(fake.float(), image)
            terms = {"l1": self.l1 * distance} if self.l1 else {}
            if self.is_compared and clock.progress >= self.pretrain:
                terms["perceptual"] = unlike(fake, image)
            if self.adversarial and clock.progress >= self.pretrain:
                judged = c(fake, source)
                games = torch.stack([objective.generator(score, score) for score, _ in judged])
                terms[self.loss] = self.adversarial * games.mean()
                if self.feature_matching:
                    with torch.no_grad():
                        wanted = c(image, source)
                    both = zip(judged, wanted, strict=True)
                    apart = torch.stack([feature_distance(made, real) for (_, made), (_, real) in both])
                    terms["feature_matching"] = self.feature_matching * apart.mean()
            return Loss(terms, watch={"l1_distance": (fake.detach().float() - image).abs().flatten(1).mean(1)})

        generator = self.player(g, self.generator_lr, self.halflife)
        shared = Shared(generator)
        critic = self.player(c, self.critic_lr, 0.0)
        turns = [Turn("critic", critic, critic_loss, begin=self.pretrain)] if self.adversarial else []
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[*turns, Turn("generator", generator, generator_loss, same_noise=True)],
            generate=from_sources(generator, make=make, chunk=at_once(data.shape)),
            draw=lambda n: {"seed": torch.randint(2**31, (n,)), "jitter": torch.rand(n, COLUMNS)},
        )

    def networks(self, data: ImageSpec, source: ImageSpec) -> tuple[nn.Module, MultiScaleCritic]:
        """Generator and critic."""
        shown = ImageSpec(channels=self.kinds or source.channels, height=source.height, width=source.width)
        if self.generator == "unet":
            drops = {"dropout": self.dropout, "dropout_blocks": self.dropout_blocks}
            norm, depth = self.generator_norm, self.depth
            g = UNet(shown, data, width=self.width, depth=depth, norm=norm, up=self.up, **drops)
        else:
            norm, blocks, downs = self.generator_norm, self.blocks, self.depth or 2
            shape = (shown.channels, data.channels)
            g = ResidualTranslator(*shape, width=self.width, blocks=blocks, downs=downs, norm=norm)
        c = MultiScaleCritic(
            data,
            scales=self.scales,
            source_channels=shown.channels,
            layers=self.critic_layers,
            width=self.critic_width,
            norm=self.critic_norm,
        )
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c


def indices_to_maps(source: Tensor, kinds: int) -> Tensor:
    """Gray maps of 8-bit indices as networks see them, (N, 1, H, W) in [-1, 1], to (N, kinds, H, W)."""
    index = ((source[:, 0] + 1) * 127.5).round().long().clamp(0, kinds - 1)
    return one_hot(index, kinds).movedim(3, 1).to(source.dtype)


PRESETS = {
    # Batch norm of a single image, which is instance norm.
    "paper": Pix2Pix(
        batch=1, pretrain=0.0, perceptual="none", width=64, dropout_blocks=3, up="transposed",
        generator_norm="instance", critic_norm="instance", critic_layers=3, critic_width=64, jitter=30 / 256, flip=True,
        init="normal", generator_lr=2e-4, critic_lr=2e-4, final_rate=0.0, halflife=0.0, length=200,
    ),
    "hd": Pix2Pix(
        batch=1, pretrain=0.0, perceptual="none", generator="resnet", width=64, depth=4, blocks=9, critic_layers=3,
        critic_norm="instance", critic_width=64, scales=2, loss="least_squares", l1=0.0, feature_matching=10.0,
        perceptual_weight=10.0, jitter=30 / 256, flip=True, init="normal", generator_lr=2e-4, critic_lr=2e-4,
        final_rate=0.0, halflife=0.0, length=200,
    ),
    "tiny": Pix2Pix(
        batch=16, width=4, critic_width=4, critic_norm="instance", feature_matching=10.0, pretrain=0.5,
        perceptual="none", length=1,
    ),
}  # fmt: skip
