"""FastGAN: small sets of images, from about a hundred on.

Liu, Zhu, Song, Elgammal. "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis",
ICLR 2021 (arXiv:2101.04775). The generator's small maps gate its large ones (skip-layer excitation); the critic's
features have to reconstruct real images, whole and a window of each, so that they describe images and not the set.
Augmentation: Zhao et al. 2020 (arXiv:2006.10738). Labels are an extra here, by embedding and by projection.

Differs from the paper: reconstructions are compared by `pixel_pyramid`, the mean absolute difference of pixels at three
sizes, where the paper has LPIPS, which needs a pretrained network; any image size, so gates span `skip` doublings; the
window is half as high and wide as the image; scores are of one map; decoders end without tanh, which saturates. Noise
inside the generator is left out after training, so a sample depends on its latent alone. The class's defaults are for
small images and a few minutes: relativistic pairs with R1 (Huang et al. 2024, arXiv:2501.05441) where the paper has the
hinge and spectral norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import ImageSpec, Spec
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.fastgan import FewShotCritic, FewShotGenerator, pyramid_distance
from organza.nets.layers import Init, initialise
from organza.nets.residual import MapNorm
from organza.nets.spectral import advance, spectrally_normed
from organza.penalties import score_and_squared_gradient
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class FastGAN(Recipe):
    """A light generator with gates across sizes, and a critic that reconstructs, for few images."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)

    batch: int = 32
    """Real samples per step, over all ranks."""
    length: float = 400.0
    """Passes over the data when the run gives no budget: the sets are small."""
    latent: int = 64
    """Length of the latent vector z ~ N(0, I), which the generator scales to a mean square of 1."""
    width: int = 2
    """Unit of the generator's channels: 16 of them in the smallest map, then 8, 4, 2, 2, 1, 1/2 and so on."""
    critic_width: int = 16
    """Channels of the critic's largest map, doubled at each halving of the size."""
    critic_widest: int = 16
    """Up to so many times that."""
    critic_base: int = 7
    """The critic halves the image until its shorter side is at most this."""
    skip: int = 2
    """Doublings between a map of the generator and the one that it gates: 2 is a factor 4, the paper has 16."""
    noise: bool = True
    """Whether every second doubling of the generator gets noise of learned strength in training."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    loss: Literal["relativistic", "hinge", "nonsaturating", "least_squares"] = "relativistic"
    """The game that is played with the scores; hinge in the paper."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    penalty_every: int = 4
    """Steps between penalties, each weighted by as much (lazy regularisation)."""
    reconstruct: float = 1.0
    """Weight of each of the critic's two reconstructions of real images; 0: no decoders."""
    smooth: float = 0.2
    """The hinge of a real sample is drawn between 1 - smooth and 1, at every turn anew. Other losses have none."""
    generator_norm: MapNorm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: MapNorm = "none"
    """Norm of the critic's hidden layers; batch couples the samples of a batch."""
    generator_spectral: bool = False
    """Whether the generator's layers have spectral norm, as in the paper."""
    critic_spectral: bool = False
    """Whether the critic's have."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 6e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 6e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    augment: tuple[Augmentation, ...] = ("color", "translation", "cutout")
    """What the critic's images go through, real and fake alike, so that it cannot learn a small set by heart."""
    augment_share: float = 0.5
    """Probability with which each of them acts on an image; the upper limit where it adapts."""
    augment_target: float = 0.6
    """Mean sign of the real scores (in a game of pairs: of their lead) to which the share adapts, from 0 on, as in ADA:
    large sets need no change. 0: it is constant."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each; a power iteration follows each update of a network with spectral norm."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        objective, is_hinge = OBJECTIVES[self.loss], self.loss == "hinge"
        augment = Augment(data, self.augment, share=constant(self.augment_share), target=self.augment_target)
        adapt = augment.adapt(samples=self.batch)

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent), "margin": torch.rand(n, 1)} | augment.draw(n)
            if g.noise_size:
                noise["noise"] = torch.randn(n, g.noise_size)
            return noise | ({"place": torch.rand(n, 2)} if self.reconstruct else {})

        def label(batch: Batch, times: int = 1) -> Tensor | None:
            return torch.cat([batch["label"]] * times) if num_classes else None

        def scored(batch: Batch, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
            """Scores of both, (N, places), and the reconstructions of the real ones."""
            if self.critic_norm == "batch":  # statistics of its own for each side, as in the paper
                real_score, remade = c(real, label(batch), batch.get("place"))
                return real_score, c(fake, label(batch))[0], remade
            score, remade = c(torch.cat([real, fake.to(real.dtype)]), label(batch, 2), batch.get("place"))
            return *score.chunk(2), remade

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            fake = g(batch["latent"], label(batch), batch.get("noise"))
            real, fake = augment.pair(batch["image"], fake, batch, clock)
            terms: dict[str, Tensor] = {}
            if self.r1 and clock.step % self.penalty_every == 0:  # one forward pass for the losses and the penalty
                found: list[tuple[Tensor, Tensor, list[Tensor]]] = []

                def scores(real: Tensor) -> Tensor:
                    found.append(scored(batch, real, fake))
                    return found[0][0].mean(1)

                _, squared = score_and_squared_gradient(scores, real)
                terms["r1"] = self.penalty_every * self.r1 / 2 * squared.mean()
                real_score, fake_score, remade = found[0]
            else:
                real_score, fake_score, remade = scored(batch, real, fake)
            # max(0, margin - score) with a margin of its own for each sample, from 1 - smooth to 1.
            raised = real_score + self.smooth * batch["margin"] if is_hinge else real_score
            terms[self.loss] = objective.critic(raised, fake_score)
            if self.reconstruct:
                for name, view, made in zip(("whole", "part"), c.views(real, batch["place"]), remade, strict=True):
                    terms[f"pixel_pyramid_{name}"] = self.reconstruct * pyramid_distance(made, view)
            watch = objective.watch(real_score.mean(1), fake_score.mean(1))
            return Loss(terms, watch=watch | augment.watch(objective.lead(real_score, fake_score).mean(1), clock))

        def after_critic(means: dict[str, Tensor]) -> None:
            advance(c)
            if adapt is not None:
                adapt(means)

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake = g(batch["latent"], label(batch), batch.get("noise"))
            real, fake = augment.pair(batch["image"], fake, batch, clock)
            fake_score = c(fake, label(batch))[0]
            real_score = c(real, label(batch))[0] if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        generator = Player(
            g,
            Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True),
            lr=cosine(self.critic_lr, self.critic_lr * self.final_rate),
        )
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, after=after_critic),
                Turn("generator", generator, generator_loss, after=lambda means: advance(g)),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
            extras={"augment": augment},
        )

    def networks(self, data: ImageSpec, num_classes: int) -> tuple[FewShotGenerator, FewShotCritic]:
        """Generator and critic."""
        g = FewShotGenerator(
            data,
            latent=self.latent,
            width=self.width,
            skip=self.skip,
            norm=self.generator_norm,
            has_noise=self.noise,
            num_classes=num_classes,
        )
        c = FewShotCritic(
            data,
            width=self.critic_width,
            widest=self.critic_widest,
            base=self.critic_base,
            norm=self.critic_norm,
            decodes=self.reconstruct > 0,
            num_classes=num_classes,
        )
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.generator_spectral:
            g = spectrally_normed(g)
        return g, spectrally_normed(c) if self.critic_spectral else c


PRESETS = {
    # 256 pixels: 50,000 steps of 8. The average keeps .999 per step, a half-life of 5,542 samples.
    "paper": FastGAN(
        conditional="no",
        batch=8,
        latent=256,
        width=64,
        critic_width=64,
        critic_base=8,
        skip=4,
        loss="hinge",
        r1=0.0,
        critic_norm="batch",
        generator_spectral=True,
        critic_spectral=True,
        generator_lr=2e-4,
        critic_lr=2e-4,
        final_rate=1.0,
        betas=(0.5, 0.999),
        augment_share=1.0,
        augment_target=0.0,
        halflife=5542.0,
    ),
    "tiny": FastGAN(latent=8, width=1, critic_width=4, batch=16, length=1),
}
SIDES = {"paper": 256}
"""Pixels in height and width of the images that these are made for."""
