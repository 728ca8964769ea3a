"""Phase refiner: RefinerG takes pictures of 64 pixels to 512, those of the generator and those of people."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.networks.latent import SIDE
from srgan.networks.network import Network
from srgan.training.latent.adversary import noise_of
from srgan.training.latent.autoencoding import Autoencoder
from srgan.training.latent.judging import BATCH, RefinementJudge, samples, to_pixels
from srgan.training.latent.phase import Context, Loss, Phase, PictureGame, Player, Step, Work, make_step, train_phase
from srgan.training.latent.pictures import LARGE, Squares, as_floats, reduced

GENERATED = 1000
"""Generated pictures that it learns from."""
FACTOR = LARGE // SIDE

log = logging.getLogger("srgan")


class Inputs:
    """What the refiner learns from, N x 3 x 64 x 64 and x 512 x 512 uint8, and batches of patches of it.

    ``small`` are pictures of ``large``, reduced; ``decoded`` are the same by way of their codes; ``generated`` have no
    counterpart in ``large``.
    """

    def __init__(self, large: Tensor, decoded: Tensor, generated: Tensor) -> None:
        self.large, self.small = large, reduced(large)
        self.decoded, self.generated = decoded, generated

    def batch(self, context: Context) -> tuple[Tensor, Tensor]:
        """Patches N x 3 x p x p, and M x 3 x 8p x 8p: the last N - M, which were generated, have no original."""
        section = context.work.config.refiner
        made = round(section.made * section.batch) if len(self.generated) else 0
        generated = made // 2
        low, high = [], []
        for number in range(section.batch):
            source = self.small if number < section.batch - made else self.decoded
            if number >= section.batch - generated:
                source = self.generated
            index, y, x, flip = self._place(context, len(source), section.patch)
            cut = source[index, :, y : y + section.patch, x : x + section.patch]
            low.append(cut.flip(2) if flip else cut)
            if number < section.batch - generated:
                top, left, side = FACTOR * y, FACTOR * x, FACTOR * section.patch
                cut = self.large[index, :, top : top + side, left : left + side]
                high.append(cut.flip(2) if flip else cut)
        device = context.work.device
        return as_floats(torch.stack(low), device), as_floats(torch.stack(high), device)

    @staticmethod
    def _place(context: Context, of: int, patch: int) -> tuple[int, int, int, bool]:
        index, y, x, flip = (int(context.draw(1, most)) for most in (of, SIDE - patch + 1, SIDE - patch + 1, 2))
        return index, y, x, bool(flip) and context.work.config.data.augment


@torch.no_grad()
def made_inputs(work: Work, squares: Squares, both: Autoencoder, generator: nn.Module) -> Inputs:
    """The inputs of the phase: nothing is decoded or generated where none of it is wanted."""
    large = squares.training
    if not work.config.refiner.made:
        return Inputs(large, large[:0], large[:0])
    small = reduced(large)
    decoded = torch.cat([to_pixels(both(as_floats(part, work.device))) for part in torch.split(small, BATCH)])
    made = samples(lambda noise: both.netG2(generator(noise)), noise_of(generator), GENERATED, work.device)
    return Inputs(large, decoded, made)


def train_refiner(work: Work, squares: Squares, both: Autoencoder, generator: nn.Module) -> Network:
    """Phase refiner: L1, and after a time a critic beside it; gives RefinerG."""
    torch.manual_seed(work.seed("refiner"))
    inputs, section, weights = made_inputs(work, squares, both, generator), work.config.refiner, work.config.loss
    network = work.build("RefinerG")
    assert isinstance(network, Network)
    players = {"RefinerG": Player(network=network, rate=section.rate, betas=work.config.optimiser.betas)}
    if weights.adversarial and section.adversarial_from < 1:
        usual = {"width": 32} if work.config.form("RefinerD") == "narrow" else {}
        critic = work.build("RefinerD", **usual)
        players["RefinerD"] = Player(network=critic, rate=section.critic_rate, betas=(0.0, 0.99))

    def prepare(context: Context) -> Step:
        game = PictureGame(context, "RefinerD") if "RefinerD" in players else None

        def look() -> tuple[Tensor, Tensor]:
            low, high = inputs.batch(context)
            return high, context.learners["RefinerG"].module(low)

        def improve(playing: bool) -> Loss:
            low, high = inputs.batch(context)
            made = context.learners["RefinerG"].module(low)
            known = len(high)
            terms = {"loss/pixel": weights.pixel_weight * functional.l1_loss(made[:known], high) * known / len(low)}
            if known < len(low):
                # What was generated has no original: reduced again, it must be what it was.
                back = functional.avg_pool2d(made[known:], FACTOR)
                share = 1 - known / len(low)
                terms["loss/consistency"] = weights.pixel_weight * functional.l1_loss(back, low[known:]) * share
            if game is not None and playing:
                with work.fabric.autocast():
                    terms["loss/adversarial"] = weights.adversarial * game.convince(made)
            return torch.stack(list(terms.values())).sum(), terms

        return make_step(context, improve, game, look, since=section.adversarial_from)

    phase = Phase(
        name="refiner",
        players=players,
        judge=RefinementJudge(squares.held_out),
        best="lpips-unweighted",
        clip=work.config.optimiser.clip * max(1.0, weights.pixel_weight),  # the loss is as much larger
        prepare=prepare,
    )
    trained = train_phase(work, phase)
    assert isinstance(trained, Network)
    return trained
