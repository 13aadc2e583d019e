"""The original GAN: a generator and a discriminator, fully connected or small and convolutional.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio. "Generative Adversarial Nets",
NeurIPS 2014 (arXiv:1406.2661).

The presets are three programs that introductions to GANs print, as they are printed: `mlp1024` (it collapses to a few
shapes within its five epochs, which is the lesson), `mlp256` and `conv`. For good digits take `dcgan`.
Differs from the paper: the generator's loss is non-saturating unless `loss` is "minimax"; no averaging of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Shared, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.layers import ACTIVATIONS, Activation, Init, Norm, initialise
from organza.nets.mlp import Reshape, mlp
from organza.nets.pair import judged
from organza.nets.small_conv import small_critic, small_generator
from organza.recipe import Recipe


@final
@dataclass(frozen=True, kw_only=True)
class VanillaGAN(Recipe):
    """The original GAN, fully connected (`nets="mlp"`) or convolutional (`nets="conv"`)."""

    nets: Literal["mlp", "conv"] = "mlp"
    """Fully connected networks, or convolutional ones for images."""
    latent: int = 100
    """Length of the latent vector z ~ N(0, I)."""
    generator_widths: tuple[int, ...] = (256, 512, 1024)
    """Hidden layers of the generator; for `conv` the channels after each doubling of the size."""
    critic_widths: tuple[int, ...] = (512, 256)
    """Hidden layers of the critic; for `conv` the channels after each halving of the size."""
    generator_activation: Activation = "relu"
    """After each hidden layer of the generator."""
    critic_activation: Activation = "leaky_relu"
    """After each hidden layer of the critic."""
    output: Literal["tanh", "sigmoid"] = "tanh"
    """Last function for images: tanh with data in [-1, 1], sigmoid with data in [0, 1]. Vectors have none."""
    dropout: float = 0.0
    """Share of the critic's hidden values that are dropped (`conv` only)."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "nonsaturating"
    """The game that is played."""
    critic_repeats: int = 1
    """Critic updates per generator update (k in Algorithm 1)."""
    smooth: float = 0.0
    """One-sided label smoothing: real samples have the target 1 - smooth."""
    joint: bool = False
    """Score real and fake in one forward pass: faster, and the same. Where there is batch norm they stay apart."""
    generator_batch: int = 1
    """Latents in a generator update for each real sample in a critic update."""
    reuse: bool = False
    """The generator is judged by the very fakes that the critic has just learned from: saves making others."""
    norm: Norm = "none"
    """Norm of the hidden layers, in both networks."""
    init: Init = "default"
    """How weights are drawn at the start."""
    generator_lr: float = 2e-4
    """Adam step size of the generator."""
    critic_lr: float = 2e-4
    """Adam step size of the critic (two time scales if it differs)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates of the first and second moment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth and not OBJECTIVES[self.loss].smooths:
            raise UsageError(f"loss {self.loss} knows no label smoothing, so smooth must be 0")
        if self.nets == "conv" and not self.generator_widths:
            raise UsageError("nets conv needs at least one number in generator_widths; got none")
        if self.dropout and self.nets == "mlp":
            raise UsageError("nets mlp has no dropout, so dropout must be 0")
        if self.loss == "relativistic" and self.generator_batch != 1:
            raise UsageError("loss relativistic pairs real and fake samples, so it needs generator_batch 1")
        if self.reuse and self.generator_batch != 1:
            raise UsageError(
                f"reuse needs generator_batch 1, as many fakes as the critic sees; got {self.generator_batch}"
            )

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each."""
        self.check(data)
        if self.nets == "conv" and not isinstance(data, ImageSpec):
            raise DataError(f"nets conv makes image data, but this source holds {data.key} data: take --nets mlp")
        g, c = (initialise(network, self.init) for network in self.networks(data))
        objective, is_unit = OBJECTIVES[self.loss], self.output == "sigmoid" and isinstance(data, ImageSpec)

        def draw(n: int) -> Batch:
            shape = (n, self.latent) if self.generator_batch == 1 else (n, self.generator_batch, self.latent)
            return {"latent": torch.randn(shape)}

        def scores(batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
            real = (batch[data.key] + 1) / 2 if is_unit else batch[data.key]
            if self.joint:
                real_score, fake_score = judged(c, real, fake).chunk(2)
                return real_score, fake_score
            return c(real), c(fake)

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            latent = batch["latent"] if self.generator_batch == 1 else batch["latent"][:, 0]
            real_score, fake_score = scores(batch, make(latent).detach())
            return Loss(
                {self.loss: objective.critic(real_score, fake_score, smooth=self.smooth)},
                watch=objective.watch(real_score, fake_score),
            )

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake = make(batch["latent"].flatten(0, -2))
            real_score, fake_score = scores(batch, fake) if objective.needs_real else (fake, c(fake))
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        generator = Player(g, Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True))
        critic = Player(c, Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True))
        make = Shared(generator) if self.reuse else g
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats),
                Turn("generator", generator, generator_loss, same_noise=self.reuse),
            ],
            generate=from_latents(
                generator,
                self.latent,
                key=data.key,
                decode=(lambda x: 2 * x - 1) if is_unit else None,
                chunk=at_once(data.shape),
            ),
            draw=draw,
        )

    def networks(self, data: Spec) -> tuple[nn.Module, nn.Module]:
        """Generator (N, latent) -> (N, *shape) and critic (N, *shape) -> (N, 1)."""
        last = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[self.output]() if isinstance(data, ImageSpec) else nn.Identity()
        if self.nets == "conv" and isinstance(data, ImageSpec):
            act = ACTIVATIONS[self.critic_activation]
            critic = small_critic(data, self.critic_widths, act, norm=self.norm, dropout=self.dropout)
            act = ACTIVATIONS[self.generator_activation]
            generator = small_generator(data, self.latent, self.generator_widths, act, norm=self.norm)
            return nn.Sequential(generator, last), critic
        numbers = int(torch.Size(data.shape).numel())
        generator = mlp(
            self.latent, self.generator_widths, numbers, activation=self.generator_activation, norm=self.norm
        )
        critic = mlp(numbers, self.critic_widths, 1, activation=self.critic_activation, norm=self.norm)
        return nn.Sequential(generator, Reshape(*data.shape), last), nn.Sequential(nn.Flatten(), critic)


PRESETS = {
    "mlp1024": VanillaGAN(joint=True, reuse=True, length=5),
    "mlp256": VanillaGAN(
        latent=64,
        generator_widths=(256, 256),
        critic_widths=(256, 256),
        generator_activation="leaky_relu",
        generator_lr=3e-4,
        critic_lr=3e-4,
        batch=100,
        length=200,
    ),
    # The program counts its batch of 128 real and 128 fake images as 256, so its 21 epochs are 10.5 of real images.
    "conv": VanillaGAN(
        nets="conv",
        generator_widths=(128, 128),
        critic_widths=(64, 64),
        generator_activation="leaky_relu",
        output="sigmoid",
        dropout=0.4,
        joint=True,
        generator_batch=2,
        betas=(0.5, 0.999),
        batch=128,
        length=10.5,
    ),
    "tiny": VanillaGAN(latent=8, generator_widths=(32,), critic_widths=(32,), batch=16, length=1),
}
