"""A page to try WarpGAN on: ``python -m warpgan.demo``, then open the address it prints.

    python -m warpgan.demo                                  shipped weights, http://127.0.0.1:7860
    python -m warpgan.demo --port 0 --no-lift               a free port, no tuning
    python -m warpgan.demo --encoder runs/my_run --svinet runs/my_svinet
    python -m warpgan.demo --host 0.0.0.0                   for others too; there is no password

Drop a photo or choose an example; drag the head, switch methods, take files home. Needs the extra
``demo``: pip install --constraint scripts/constraints_demo.txt --editable '.[demo]'. Nothing is
loaded from the network, and nothing of a person is kept: files lie in a temporary folder that is
removed at the end. Exit codes: 0 done, 2 a mistake in the command.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence

import torch

from warpgan import cli
from warpgan.demonstration.answers import Answers
from warpgan.demonstration.examples import make_examples
from warpgan.demonstration.sources import Reader
from warpgan.demonstration.studio import Studio
from warpgan.demonstration.text import about
from warpgan.demonstration.uploads import UploadLimits
from warpgan.synthesis.models import SCALES, LoadedModels, random_models
from warpgan.synthesis.words import add_model_words, models_of

WARM_UP = "warm-up"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    with cli.plain_errors():
        show(options)
    return 0


def show(options: argparse.Namespace) -> None:
    """Load everything and serve until interrupted.

    Args:
        options: of `build_parser`.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    limits = UploadLimits(megabytes=options.max_upload_mb)
    if options.queue < 1:
        raise ValueError(f"--queue {options.queue} must be at least 1")
    check_gradio()
    keep_to_ourselves()
    from warpgan.demonstration import server

    bound = server.bound_socket(options.host, options.port)
    with bound:
        models = _models(options)
        size = models.pipeline.generator.img_resolution
        studio = Studio(
            models.pipeline,
            examples=make_examples(size),
            make_reader=None if options.no_photos else face_reader(),
            limits=limits,
            may_lift=not options.no_lift,
            most_waiting=options.queue,
        )
        try:
            # Gradio reads it when it is first imported.
            os.environ["GRADIO_TEMP_DIR"] = str(studio.uploads)
            from warpgan.demonstration.page import build_page

            said = about(models.pipeline, models.files, reads_photos=not options.no_photos)
            page = build_page(studio, about=said, queue_size=options.queue)
            app = server.build_app(page, studio, host=options.host)
            warm_up(studio)
            studio.keep_sweeping()
            _announce(bound.getsockname(), options.host, loopback=server.is_loopback(options.host))
            server.serve(app, bound)
        finally:
            studio.close()


def check_gradio() -> None:
    """Refuse early where the extra is not installed.

    Raises:
        ValueError: Gradio is absent.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ValueError(
            "the page needs Gradio: pip install --constraint scripts/constraints_demo.txt "
            "--editable '.[demo]'"
        )


def keep_to_ourselves() -> None:
    """Switch off what Gradio and its libraries would tell or fetch; before their first import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_SSR_MODE"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def face_reader() -> Callable[[], Reader]:
    """What loads the networks that find a face, when the first photo comes."""

    def make() -> Reader:
        from warpgan.preparation.face_reader import FaceReader

        return FaceReader()

    return make


def warm_up(studio: Studio) -> None:
    """See the first example once: the first person does not wait for what loads on first use."""
    answers = Answers(studio)
    answers.example(WARM_UP, 0, answers.methods[-1])
    studio.end(WARM_UP)


def _models(options: argparse.Namespace) -> LoadedModels:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.random_weights:
        return random_models(options.random_weights, geometry=options.geometry, device=device)
    return models_of(options, method="warpgan", device=device)


def _announce(address: tuple, host: str, *, loopback: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    print(f"open http://{shown}:{address[1]} (Ctrl+C ends)", flush=True)
    if not loopback:
        print(
            f"warning: --host {host} lets other machines use this page; there is no password and "
            "no encryption",
            file=sys.stderr,
            flush=True,
        )


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=7860, help="0 for a free one")
    add_model_words(parser)
    add("--random-weights", choices=SCALES, help="random networks: what a page of a scale costs")
    add("--max-upload-mb", type=float, default=20.0, help="largest photo, millions of bytes")
    add("--queue", type=int, default=16, help="requests that may wait; more are refused")
    add("--no-lift", action="store_true", help="do not offer lifting (about a minute a photo)")
    add("--no-photos", action="store_true", help="examples only, no uploads")
    return parser


if __name__ == "__main__":
    sys.exit(main())
