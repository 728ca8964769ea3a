"""Phases autoencoder and decoder: netRS and netG2 learn to reproduce pictures; then netG2 alone to make them crisp."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.errors import InvalidDataset
from srgan.networks.discriminators import PatchDiscriminator
from srgan.networks.latent import CODE
from srgan.networks.latent.embedding import NarrowDecoder, NarrowEncoder, fit_linear
from srgan.training.features import PerceptualLoss
from srgan.training.latent.judging import BATCH, Gallery, ReconstructionJudge
from srgan.training.latent.phase import Context, Loss, Phase, PictureGame, Player, Step, Work, make_step, train_phase
from srgan.training.latent.pictures import as_floats

FITTED_ON = 2000
"""Pictures that the linear code is fitted to: of 16 blocks each, far more than its 768 numbers need."""


class Autoencoder(nn.Module):
    """netRS and netG2, one behind the other. ``noise`` is added to the codes."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.netRS, self.netG2 = encoder, decoder

    def forward(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        codes = self.netRS(pictures)
        out: Tensor = self.netG2(codes if noise is None else codes + noise)
        return out


def train_autoencoder(work: Work, gallery: Gallery) -> Autoencoder:
    """Phase autoencoder: L1, with noise on the codes."""
    torch.manual_seed(work.seed("autoencoder"))
    pictures = gallery.squares.training
    both = Autoencoder(work.build("netRS"), work.build("netG2"))
    if isinstance(both.netRS, NarrowEncoder) and isinstance(both.netG2, NarrowDecoder):
        try:
            fit_linear(both.netRS, both.netG2, as_floats(pictures[:FITTED_ON], work.device))
        except ValueError as error:
            raise InvalidDataset(f"data.folders: {error}") from error

    def prepare(context: Context) -> Step:
        def improve(_: bool) -> Loss:
            batch = as_floats(pictures[context.draw(work.config.data.batch, len(pictures))], work.device)
            noise = work.config.autoencoder.noise * context.noise(len(batch), *CODE)
            loss = functional.l1_loss(context.learners["autoencoder"].module(batch, noise), batch)
            return loss, {"loss/pixel": loss}

        return make_step(context, improve)

    phase = Phase(
        name="autoencoder",
        players={"autoencoder": Player(network=both, rate=1.0, betas=work.config.optimiser.betas)},
        judge=ReconstructionJudge(gallery, lambda network, batch: network(batch)),
        best="psnr",
        prepare=prepare,
    )
    trained = train_phase(work, phase)
    assert isinstance(trained, Autoencoder)
    return trained


def train_decoder(work: Work, gallery: Gallery, both: Autoencoder, codes: Tensor) -> None:
    """Phase decoder: gives ``both.netG2`` the weights that were chosen. ``codes`` are of the training pictures."""
    torch.manual_seed(work.seed("decoder"))
    pictures, section, noise = gallery.squares.training, work.config.decoder, work.config.autoencoder.noise
    decoder = both.netG2.train()
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(not name.startswith("linear."))
    players = {"netG2": Player(network=decoder, rate=section.rate, betas=work.config.optimiser.betas)}
    if section.adversarial:
        critic = work.placed(PatchDiscriminator(width=section.critic))
        players["netD2"] = Player(network=critic, rate=section.critic_rate, betas=(0.0, 0.99))
    weight = work.config.loss.perceptual
    perceptual = PerceptualLoss(work.config.loss).to(work.device) if weight else None

    def prepare(context: Context) -> Step:
        game = PictureGame(context, "netD2") if "netD2" in players else None

        def look() -> tuple[Tensor, Tensor]:
            chosen = context.draw(work.config.data.batch, len(pictures))
            code = codes[chosen.to(codes.device)]
            made = context.learners["netG2"].module(code + noise * context.noise(*code.shape))
            return as_floats(pictures[chosen], work.device), made

        def improve(playing: bool) -> Loss:
            real, made = look()
            terms = {"loss/pixel": functional.l1_loss(made, real)}
            with work.fabric.autocast():
                if perceptual is not None:
                    terms["loss/perceptual"] = weight * perceptual(made, real)
                if game is not None and playing:
                    terms["loss/adversarial"] = section.adversarial * game.convince(made)
            return torch.stack(list(terms.values())).sum(), terms

        return make_step(context, improve, game, look)

    phase = Phase(
        name="decoder",
        players=players,
        judge=ReconstructionJudge(gallery, lambda network, batch: network(both.netRS(batch))),
        best=work.config.validation.best,
        prepare=prepare,
    )
    train_phase(work, phase)


@torch.no_grad()
def encode(encoder: nn.Module, pictures: Tensor, device: torch.device) -> Tensor:
    """The codes of ``pictures``, N x 3 x 64 x 64 uint8: N x 64 x 4 x 4 on ``device``."""
    return torch.cat([encoder(as_floats(part, device)).float() for part in torch.split(pictures, BATCH)])
