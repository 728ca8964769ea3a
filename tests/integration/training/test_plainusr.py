"""PlainUSR as a bundle, by `scripts/plainusr.py`: its authors' weights in the network that is written anew there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="its network is a torch module")

from scripts import plainusr  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.networks import NETWORKS  # noqa: E402
from srgan.runtime import open_session  # noqa: E402

pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture(autouse=True)
def _no_lasting_name() -> Iterator[None]:
    yield
    NETWORKS.targets.pop("plainusr", None)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file as its authors write it: another name for each layer, in the order of the small variant's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = plainusr.plainusr(2, variant="s")
    torch.save({f"theirs.{name}": value for name, value in network.state_dict().items()}, tmp_path / "s.pth")
    return tmp_path / "s.pth"


def test_the_bundle_runs_as_the_network_does(weights: Path, tmp_path: Path) -> None:
    bundle = plainusr.make_bundle(weights, tmp_path / "made", variant="s", scale=2)
    network = plainusr.plainusr(2, variant="s")
    network.load_state_dict({k.removeprefix("theirs."): v for k, v in torch.load(weights).items()})
    picture = np.random.default_rng(0).random((1, 3, 24, 31), np.float32)
    session = open_session(bundle, backend="torch", device="cpu")
    with torch.no_grad():
        wanted = network(torch.from_numpy(picture)).numpy()

    assert np.allclose(session.run(picture), wanted, atol=1e-5)
    assert (bundle.info.name, bundle.info.scale, bundle.info.minimum) == ("plainusr-s-x2", 2, 16)
    assert bundle.info.provenance.parent == "s.pth"


def test_weights_of_another_variant_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="its layer 1"):
        plainusr.make_bundle(weights, tmp_path / "made", variant="l", scale=2)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "variant", "scale"), [("PlainUSRL", "l", 4), ("PlainUSRS", "s", 4), ("PlainUSRS", "s", 2)]
)
def test_it_computes_what_its_authors_code_does(
    name: str, variant: str, scale: int, data_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    file = f"{name}_Rep_x{scale}"
    bundle = plainusr.make_bundle(data_folder(f"zoo/{file}.pth"), tmp_path / "made", variant=variant, scale=scale)
    known = np.load(data_folder(f"zoo/reference/{file}.npz"))
    picture = (known["x"].astype(np.float32) / 255).transpose(2, 0, 1)[None]
    made = open_session(bundle, backend="torch", device="cpu").run(picture)

    assert np.abs(made[0].transpose(1, 2, 0) - known["y"]).max() < 1e-3
