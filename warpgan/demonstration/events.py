"""The functions that Gradio calls: inputs of the page in, changes of its parts out.

Every maker takes the answers and gives back one function for one event. The session is told apart
by the hash that the browser tab's requests carry.
"""

import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import gradio as gr

from warpgan.demonstration import text
from warpgan.demonstration.answers import Answer, Answers
from warpgan.demonstration.session import LIFTED, Progress
from warpgan.demonstration.sources import RANGES
from warpgan.demonstration.studio import Studio


def only_uploads(upload: gr.File) -> Callable[[Any], Awaitable[str | None]]:
    """What lets a file input read uploads only: Gradio would fetch an address that it is given."""
    ordinary = upload.async_move_resource_to_block_cache

    async def move(place: Any) -> str | None:
        if place is not None and "://" in str(place):
            raise gr.Error("only uploaded files are read, no addresses")
        return await ordinary(place)

    return move


def titled(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Choices of the radio buttons: title and name of every method."""
    return [(text.METHOD_TITLES[method], method) for method in methods]


def _kept(value: Any) -> Any:
    return gr.skip() if value is None else value


def _method(answer: Answer) -> Any:
    if answer.methods is None:
        return gr.skip()
    return gr.update(choices=titled(answer.methods), value=answer.method)


def _everything(answer: Answer) -> list[Any]:
    yaw, pitch = answer.angles or (None, None)
    parts = (answer.said, answer.view, answer.photos, answer.downloads, answer.video, yaw, pitch)
    face = gr.skip()
    if answer.faces is not None:
        numbers = list(range(1, answer.faces + 1))
        face = gr.update(choices=numbers, value=answer.chosen, visible=answer.faces > 1)
    return [*map(_kept, parts), _method(answer), face, *_middles(answer.fresh)]


def _middles(fresh: bool) -> list[Any]:
    return [(1.0 if name == "zoom" else 0.0) if fresh else gr.skip() for name, *_ in RANGES]


def _owner(request: gr.Request) -> str:
    return request.session_hash or ""


def opening_example(answers: Answers, number: int) -> Callable[..., list[Any]]:
    """What opens example ``number``, from 0."""

    def open_example(method: str, request: gr.Request) -> list[Any]:
        return _everything(answers.example(_owner(request), number, method))

    return open_example


def opening_upload(answers: Answers) -> Callable[..., list[Any]]:
    """What opens an uploaded photo."""

    def open_upload(path: str | None, method: str, request: gr.Request) -> list[Any]:
        return [*_everything(answers.upload(_owner(request), path, method)), None]

    return open_upload


def choosing_face(answers: Answers) -> Callable[..., list[Any]]:
    """What takes another face of a photo."""

    def choose_face(number: int, method: str, request: gr.Request) -> list[Any]:
        return _everything(answers.choose_face(_owner(request), number, method))

    return choose_face


def seeing(answers: Answers) -> Callable[..., list[Any]]:
    """What looks from elsewhere."""

    def see(yaw: float, pitch: float, method: str, request: gr.Request) -> list[Any]:
        answer = answers.view(_owner(request), yaw, pitch, method)
        return [_kept(answer.said), _kept(answer.view)]

    return see


def _adjusted(answer: Answer) -> list[Any]:
    parts = (answer.said, answer.view, answer.photos, answer.downloads, answer.video)
    return [*map(_kept, parts), _method(answer)]


def adjusting(answers: Answers) -> Callable[..., list[Any]]:
    """What moves crop and camera."""

    def adjust(
        yaw: float,
        pitch: float,
        roll: float,
        right: float,
        down: float,
        zoom: float,
        view_yaw: float,
        view_pitch: float,
        method: str,
        request: gr.Request,
    ) -> list[Any]:
        moved = (yaw, pitch, roll, right, down, zoom)
        return _adjusted(answers.adjust(_owner(request), moved, (view_yaw, view_pitch), method))

    return adjust


def resetting(answers: Answers) -> Callable[..., list[Any]]:
    """What moves both back."""

    def reset(yaw: float, pitch: float, method: str, request: gr.Request) -> list[Any]:
        middles = tuple(_middles(True))
        answer = answers.adjust(_owner(request), middles, (yaw, pitch), method)
        return [*_adjusted(answer), *middles]

    return reset


def writing_files(answers: Answers) -> Callable[..., list[Any]]:
    """What writes the files to download."""

    def write_files(yaw: float, pitch: float, method: str, request: gr.Request) -> list[Any]:
        answer = answers.files(_owner(request), yaw, pitch, method)
        return [_kept(answer.said), _kept(answer.downloads)]

    return write_files


def writing_orbit(answers: Answers) -> Callable[..., list[Any]]:
    """What writes and shows the orbit."""

    def write_orbit(
        method: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        answer = answers.orbit(_owner(request), method, _told(progress, "orbit"))
        return [_kept(answer.said), _kept(answer.downloads), _kept(answer.video)]

    return write_orbit


def lifting(answers: Answers) -> Callable[..., list[Any]]:
    """What tunes a lasting state."""

    def lift(
        yaw: float,
        pitch: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        # Its teachers are drawn before the first step is told.
        progress(0, desc="views to learn from")
        answer = answers.lift(_owner(request), yaw, pitch, _told(progress, LIFTED))
        return [_kept(answer.said), _kept(answer.view), _method(answer)]

    return lift


def _told(progress: gr.Progress, what: str) -> Progress:
    """A progress of steps for another thread, which knows nothing of this request."""
    context = contextvars.copy_context()

    def tell(done: int, count: int) -> None:
        context.run(progress, (done, count), desc=what, unit="steps")

    return tell


def ending(studio: Studio) -> Callable[..., None]:
    """What ends a session when its page is left."""

    def unload(request: gr.Request) -> None:
        studio.end(_owner(request))

    return unload
