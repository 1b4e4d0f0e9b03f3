"""What the page says in words: what the loaded weights can do, and what became of a photo.

Everything that goes into HTML is escaped here, and nowhere trusted.
"""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.cameras import yaw_pitch
from warpgan.demonstration.files import Offered
from warpgan.demonstration.sources import Source
from warpgan.pipeline import WarpGAN

MINI_FILES = ("eg3d_mini", "encoder_mini", "psp_mini", "svinet_mini")
METHOD_TITLES = {
    "inversion": "Inversion",
    "warp": "Warp",
    "fill": "Fill",
    "warpgan": "WarpGAN",
    "lifted": "Lifted",
}
METHOD_WORDS = {
    "inversion": "what the generator alone draws from the encoder's latent",
    "warp": "the photo's own pixels moved by the generator's depth; black where the photo shows "
    "nothing",
    "fill": "the warp with the generator's picture in its holes",
    "warpgan": "the warp with its holes painted by SVINet",
    "lifted": "a generator tuned to this photo and its WarpGAN views: one volume, the same from "
    "every side",
}
MINI_WORDS = (
    "The weights loaded now are the shipped **mini** ones: {size} px, trained for an hour or so "
    "each on a CPU, on **rendered portraits only**. They have never seen a photograph. On the "
    "examples they do what the README measures. On a real photo the pixels that the warp carries "
    "over are the photo's own and can look right for small turns; what the photo does not show, "
    "the depth, and every inversion come from a world of rendered heads: expect another person "
    "there, wrong hair and ears, and a backdrop that does not belong."
)
OTHER_WORDS = (
    "Weights loaded now: {names}; {size} px. They are not the shipped ones: nothing is known here "
    "of what they were trained on."
)
GENERAL_WORDS = (
    "\n\nTurn within about 30 degrees; beyond 45 most of the view is invented. A face that is "
    "turned far away in the photo, covered or cut off gives a poor result. The camera is an "
    "estimate: if the orange rings do not sit on eyes, nose tip and mouth corners, move it under "
    "*Adjust crop and camera*."
    "\n\nPictures stay on the machine that runs this page: an upload is decoded and its file "
    "removed at once, files to download lie in a temporary folder that goes with your session."
)


def about(pipeline: WarpGAN, files: Sequence[Path], *, reads_photos: bool) -> str:
    """Markdown on what the loaded weights can and can't do.

    Args:
        pipeline: the networks.
        files: they were read from.
        reads_photos: whether photos can be uploaded.
    """
    size = pipeline.generator.img_resolution
    names = [path.stem for path in files]
    if names and all(name in MINI_FILES for name in names):
        words = MINI_WORDS.format(size=size)
    else:
        shown = ", ".join(f"`{path.name.replace('`', '')}`" for path in files)
        words = OTHER_WORDS.format(size=size, names=shown or "random numbers")
    if pipeline.svinet is None:
        words += "\n\nThere is no SVINet: WarpGAN's views can't be drawn."
    if not reads_photos:
        words += "\n\nThis page was started without a face reader: it takes examples only."
    return words + GENERAL_WORDS


def facts(source: Source) -> str:
    """HTML on a photo's crop and camera."""
    yaw, pitch = (float(angle) for angle in yaw_pitch(source.camera))
    camera = f"camera: yaw {yaw:+.1f}, pitch {pitch:+.1f} degrees"
    if source.true_camera:
        camera += " (true)"
    elif source.confidence is not None:
        camera += f" (estimated, confidence {source.confidence:.2f})"
    else:
        camera += " (moved by hand)"
    said = [camera]
    if len(source.boxes) > 1:
        said.append(f"face {source.chosen} of {len(source.boxes)}")
    if source.outside > 0.02:
        said.append(f"{source.outside:.0%} of the crop lies beyond the photo's edge, mirrored")
    if source.confidence is not None and source.confidence < 0.5:
        said.append("the estimates of the camera disagree: look at the rings before you trust it")
    return message(f"{source.title}; " + "; ".join(said))


def message(text: str, *, wrong: bool = False) -> str:
    """HTML of a line that screen readers announce."""
    role, kind = ("alert", "wrong") if wrong else ("status", "fine")
    return f'<p role="{role}" class="said {kind}">{html.escape(text)}</p>'


def picture(image: np.ndarray | bytes, alt: str, *, kind: str = "") -> str:
    """HTML of an image ``[H, W, 3]`` uint8, or of a WebP file's bytes, without any file."""
    if isinstance(image, np.ndarray):
        content, coding = io.BytesIO(), "png" if image.shape[0] <= 256 else "webp"
        Image.fromarray(image).save(content, coding.upper(), quality=95)
        data = content.getvalue()
    else:
        data, coding = image, "webp"
    code = base64.b64encode(data).decode("ascii")
    return (
        f'<img class="{kind}" draggable="false" alt="{html.escape(alt, quote=True)}" '
        f'src="data:image/{coding};base64,{code}">'
    )


def view_caption(method: str, yaw: float, pitch: float) -> str:
    """A line under a view."""
    return f"{METHOD_TITLES[method]}, yaw {yaw:+.0f}, pitch {pitch:+.0f}: {METHOD_WORDS[method]}"


def downloads(key: str, files: Sequence[Offered]) -> str:
    """HTML of a list of links; addresses are relative to the page."""
    rows = "".join(
        f'<li><a href="files/{key}/{html.escape(each.name, quote=True)}" download>'
        f"{html.escape(each.name)}</a> {html.escape(each.title)}, {_size(each.bytes)}</li>"
        for each in files
    )
    return f'<ul class="downloads">{rows}</ul>' if rows else ""


def video(key: str, version: int) -> str:
    """HTML that plays a session's orbit; ``version`` tells a new one from the browser's old."""
    return (
        f'<video class="orbit" controls loop autoplay muted playsinline '
        f'aria-label="orbit video" src="files/{key}/orbit.mp4?v={version}"></video>'
    )


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
