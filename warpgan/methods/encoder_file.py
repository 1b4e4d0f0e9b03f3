"""An encoder's weights, found from what the user typed."""

from pathlib import Path

from warpgan import weights
from warpgan.encoders.inversion import InversionEncoder, load_encoder
from warpgan.encoders.released import load_released_inversion

FILE_NAME = "encoder.safetensors"
# The mean latent of a named encoder, where that is a file of its own.
LATENT_OF = {"encoder_warpgan": "latent_avg_eg3d_lpff"}


def find_encoder(reference: str, *, key: str = "encoder") -> tuple[InversionEncoder, Path]:
    """Load an encoder.

    Args:
        reference: a name of the weights table, the folder of a training run, or a file: ours, or
            of the released one by its name only.
        key: what the user typed it under, for messages.

    Returns:
        The encoder on the CPU, in eval mode without gradients, and the file it was read from.

    Raises:
        FileNotFoundError: if the file is absent.
        ValueError: if it is not an encoder's.
    """
    if reference in weights.TABLE:
        path = weights.resolve(reference)
        if reference in LATENT_OF:
            average = weights.resolve(LATENT_OF[reference])
            return load_released_inversion(path, average), path
        return load_encoder(path), path
    path = Path(reference).expanduser()
    if path.is_dir():
        path = path / FILE_NAME
    if not path.is_file():
        shipped = [name for name, file in weights.TABLE.items() if file.shipped]
        known = [name for name in shipped if "encoder" in name or "psp" in name] + [*LATENT_OF]
        raise FileNotFoundError(
            f"{key}={reference}: no file {path}; give a run folder that is finished "
            f"(runs/NAME), an encoder file, or one of {', '.join(known)}"
        )
    return load_encoder(path), path
