"""SNGAN: residual networks, and a critic whose layers have spectral norm.

Miyato, Kataoka, Koyama, Yoshida. "Spectral Normalization for Generative Adversarial Networks", ICLR 2018
(arXiv:1802.05957). Labels: Miyato, Koyama. "cGANs with Projection Discriminator", ICLR 2018 (arXiv:1802.05637):
they choose gain and bias of the generator's norms, and the critic adds the inner product of its features with an
embedding, which has spectral norm too.

The power iteration is taken once per critic update, as in Algorithm 1, not once per forward pass.
Differs from the papers: any resolution; the default is smaller, takes larger steps and averages the generator;
`paper` is the first paper's CIFAR-10 setting, `imagenet` the second's of 128 pixels. Points (the toys) get fully
connected networks, told the class by a one-hot code, with spectral norm in the critic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.data.spec import ImageSpec, Spec
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.layers import Init, initialise
from organza.nets.pair import plain_pair
from organza.nets.residual import MapNorm, ResidualCritic, ResidualGenerator
from organza.nets.spectral import advance, spectrally_normed
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import linear


@final
@dataclass(frozen=True, kw_only=True)
class SNGAN(Recipe):
    """Residual networks with spectral norm in the critic; fully connected networks for points."""

    batch: int = 32
    """Real samples per step, over all ranks."""
    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    generator_width: int = 32
    """Channels of the generator's largest map; a quarter of the hidden units for points."""
    critic_width: int = 32
    """Channels of the critic's largest map."""
    widest: int = 4
    """Channels double at each halving of the size, up to so many times those of the largest map; 1: all the same."""
    generator_base: int = 4
    """The shorter side of the generator's smallest map is at most this."""
    critic_base: int = 4
    """The critic halves the image until its shorter side is at most this."""
    critic_plain: int = 1
    """Blocks of the critic after those, that keep the size."""
    patch: int = 2
    """Side of the squares of pixels that the networks handle as one: 1 in the papers; 2 is several times faster."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    loss: Literal["nonsaturating", "hinge", "wasserstein"] = "hinge"
    """The game that is played."""
    critic_repeats: int = 1
    """Critic updates per generator update (n_dis)."""
    generator_batch: int = 1
    """Latents in a generator update for each real sample in a critic update."""
    generator_norm: MapNorm = "batch"
    """Norm in the generator's blocks, with a gain and a bias per class where there are labels."""
    init: Init = "orthogonal"
    """How weights are drawn at the start."""
    generator_lr: float = 5e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 2e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.0
    """Share of the step sizes that is left at the end; they fall in a straight line."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each; the critic's is followed by a power iteration."""
        self.check(data)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        objective = OBJECTIVES[self.loss]

        def draw(n: int) -> Batch:
            return {"latent": torch.randn(n, self.generator_batch, self.latent)}

        def labels(batch: Batch, times: int = 1) -> list[Tensor]:
            return [torch.cat([batch["label"]] * times)] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = batch[data.key], g(batch["latent"][:, 0], *labels(batch))
            real_score, fake_score = c(torch.cat([real, fake.to(real.dtype)]), *labels(batch, 2)).chunk(2)
            return Loss(
                {self.loss: objective.critic(real_score, fake_score)}, watch=objective.watch(real_score, fake_score)
            )

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            label = [each.repeat_interleave(self.generator_batch) for each in labels(batch)]
            fake_score = c(g(batch["latent"].flatten(0, 1), *label), *label)
            return Loss({self.loss: objective.generator(fake_score, fake_score)})

        generator = Player(
            g,
            Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True),
            lr=linear(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True),
            lr=linear(self.critic_lr, self.critic_lr * self.final_rate),
        )
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats, after=lambda means: advance(c)),
                Turn("generator", generator, generator_loss),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
        )

    def networks(self, data: Spec, num_classes: int) -> tuple[nn.Module, nn.Module]:
        """Generator and critic for images or points."""
        if not isinstance(data, ImageSpec):
            g, c = plain_pair(
                data,
                latent=self.latent,
                width=self.generator_width,
                num_classes=num_classes,
                generator_norm=self.generator_norm,
                init=self.init,
            )
            return g, spectrally_normed(c)
        g = ResidualGenerator(
            data,
            latent=self.latent,
            width=self.generator_width,
            widest=self.widest,
            norm=self.generator_norm,
            num_classes=num_classes,
            base=self.generator_base,
            patch=self.patch,
        )
        c = ResidualCritic(
            data,
            width=self.critic_width,
            widest=self.widest,
            base=self.critic_base,
            plain=self.critic_plain,
            num_classes=num_classes,
            patch=self.patch,
        )
        if c.embed is not None:  # spectral norm hides its scale, but a smaller one learns faster
            nn.init.normal_(c.embed.weight, std=c.embed.embedding_dim**-0.5)
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, spectrally_normed(c)


PRESETS = {
    # CIFAR-10: the critic stays at 8x8 for two plain blocks; a generator update has 128 fakes, a critic update 64.
    "paper": SNGAN(
        conditional="no",
        latent=128,
        generator_width=256,
        critic_width=128,
        widest=1,
        critic_base=8,
        critic_plain=2,
        patch=1,
        critic_repeats=5,
        generator_batch=2,
        init="xavier",
        generator_lr=2e-4,
        critic_lr=2e-4,
        betas=(0.0, 0.9),
        halflife=0.0,
        batch=64,
    ),
    "imagenet": SNGAN(
        latent=128,
        generator_width=64,
        critic_width=64,
        widest=16,
        patch=1,
        critic_repeats=5,
        generator_batch=2,
        init="xavier",
        generator_lr=2e-4,
        critic_lr=2e-4,
        betas=(0.0, 0.9),
        halflife=0.0,
        batch=64,
    ),
    "tiny": SNGAN(latent=8, generator_width=4, critic_width=4, widest=2, batch=16, length=1),
}
SIDES = {"paper": 32, "imagenet": 128}
"""Pixels in height and width of the images that these are made for."""
