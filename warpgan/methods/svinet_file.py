"""SVINet's weights, found from what the user typed."""

from pathlib import Path

from eg3d import TriPlaneGenerator
from warpgan import weights
from warpgan.svinet import SVINet, load_svinet
from warpgan.svinet_released import load_released_svinet

FILE_NAME = "svinet.safetensors"
RELEASED_SUFFIXES = (".pt", ".pth")


def find_svinet(reference: str, *, generator: TriPlaneGenerator) -> tuple[SVINet, Path]:
    """Load SVINet for a generator.

    Args:
        reference: a name of the weights table, the folder of a training run, or a file: ours, or
            one laid out like the released ``inpaintor.pt``.
        generator: whose latents style it; also says the device.

    Returns:
        The network in eval mode without gradients, and the file it was read from.

    Raises:
        FileNotFoundError: if the file is absent.
        ValueError: if it is not SVINet's, or was trained with another generator's latents.
    """
    path = svinet_path(reference)
    if path.suffix in RELEASED_SUFFIXES:
        svinet = load_released_svinet(path, num_ws=generator.num_ws).svinet
    else:
        svinet = load_svinet(path)
    check_svinet_fits(svinet, generator)
    return svinet.to(generator.mean_latent().device), path


def svinet_path(reference: str) -> Path:
    """The file that a name of the weights table, a run folder or a path stands for.

    Raises:
        FileNotFoundError: if it is absent.
    """
    if reference in weights.TABLE:
        return weights.resolve(reference)
    path = Path(reference).expanduser()
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        known = [name for name in weights.TABLE if "svinet" in name]
        raise FileNotFoundError(
            f"svinet={reference}: no file {path}; give a finished run of "
            f"`python -m warpgan.train_svinet` (runs/NAME), its {FILE_NAME}, or a name of the "
            f"weights table ({', '.join(known) or 'which has no SVINet'})"
        )
    return path


def check_svinet_fits(svinet: SVINet, generator: TriPlaneGenerator) -> None:
    """Check that SVINet is styled by latents of a generator's shape.

    Raises:
        ValueError: if it is not.
    """
    arguments = svinet.arguments or {}
    ours = (arguments.get("num_ws"), arguments.get("w_dim"))
    needed = (generator.num_ws, generator.w_dim)
    if None not in ours and ours != needed:
        raise ValueError(
            f"this SVINet takes latents {list(ours)} and the generator has {list(needed)}: they "
            "were not made for each other"
        )
