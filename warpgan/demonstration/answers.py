"""What the page answers to every event: HTML and numbers, from a session. Knows no Gradio.

A person's mistake (`ValueError`) or an absent file becomes a line of text; nothing of a session
changes then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from warpgan.demonstration import text
from warpgan.demonstration.files import offered, write_files, write_orbit
from warpgan.demonstration.session import LIFTED, Progress, Session
from warpgan.demonstration.sources import Adjustment, Source
from warpgan.demonstration.studio import Studio
from warpgan.preparation.drawing import crop_picture, photo_picture

EMPTY_VIEW = '<div class="empty">Choose an example or upload a photo.</div>'


@dataclass(frozen=True)
class Answer:
    """What changes on the page; None leaves a part as it is.

    Attributes:
        said: HTML of the status line.
        view: HTML of the view.
        photos: HTML of the photo with the face found, and of the crop with its camera.
        downloads: HTML of the links.
        video: HTML of the orbit.
        angles: yaw and pitch of the sliders.
        methods: those that can be chosen.
        method: the chosen one.
        faces: how many faces the photo shows.
        chosen: which of them.
        fresh: whether the adjustment's sliders go back to the middle.
    """

    said: str | None = None
    view: str | None = None
    photos: str | None = None
    downloads: str | None = None
    video: str | None = None
    angles: tuple[float, float] | None = None
    methods: tuple[str, ...] | None = None
    method: str | None = None
    faces: int | None = None
    chosen: int | None = None
    fresh: bool = False


class Answers:
    """The page's events, one method each. ``owner`` tells sessions apart."""

    def __init__(self, studio: Studio) -> None:
        """Answer from a studio."""
        self.studio = studio
        svinet = studio.pipeline.svinet is not None
        self.methods = ("inversion", "warp", "fill", *(("warpgan",) if svinet else ()))

    def example(self, owner: str, number: int, method: str) -> Answer:
        """Open an example, from 0."""

        def job(session: Session) -> Answer:
            if not 0 <= number < len(self.studio.examples):
                raise ValueError(f"there is no example {number}")
            return self._opened(session, self.studio.examples[number].source, method)

        return self._answer(owner, job)

    def upload(self, owner: str, path: str | None, method: str) -> Answer:
        """Open an uploaded photo; its file is gone afterwards."""

        def job(session: Session) -> Answer:
            if not path:
                return Answer()
            return self._opened(session, self.studio.read_photo(Path(path)), method)

        return self._answer(owner, job)

    def choose_face(self, owner: str, number: int, method: str) -> Answer:
        """Take another face of the same photo, from 1."""

        def job(session: Session) -> Answer:
            if session.found is None or number == session.found.chosen:
                return Answer()
            photo = session.found.photo
            return self._opened(session, self.studio.find_face(photo, chosen=number), method)

        return self._answer(owner, job)

    def view(self, owner: str, yaw: float, pitch: float, method: str) -> Answer:
        """Look from elsewhere."""
        return self._answer(owner, lambda session: self._view(session, yaw, pitch, method))

    def adjust(
        self, owner: str, adjustment: tuple[float, ...], angles: tuple[float, float], method: str
    ) -> Answer:
        """Move crop and camera."""

        def job(session: Session) -> Answer:
            session.adjust(Adjustment(*adjustment))
            shown = method if method in self.methods else self.methods[-1]
            view = self._view(session, *angles, shown)
            return Answer(
                said=text.facts(session.source),
                view=view.view,
                photos=_photos(session.source),
                downloads="",
                video="",
                methods=self.methods,
                method=shown,
            )

        return self._answer(owner, job)

    def files(self, owner: str, yaw: float, pitch: float, method: str) -> Answer:
        """Write the files to download."""

        def job(session: Session) -> Answer:
            write_files(session, self.studio.pipeline, yaw=yaw, pitch=pitch, method=method)
            return Answer(
                said=text.message("files are ready below"), downloads=self._links(session)
            )

        return self._answer(owner, job)

    def orbit(self, owner: str, method: str, progress: Progress | None = None) -> Answer:
        """Write and show the orbit video."""

        def job(session: Session) -> Answer:
            path = write_orbit(session, self.studio.pipeline, method, progress)
            return Answer(
                said=text.message(f"orbit of {text.METHOD_TITLES[method]} is ready"),
                video=text.video(session.key, path.stat().st_mtime_ns),
                downloads=self._links(session),
            )

        return self._answer(owner, job)

    def lift(
        self, owner: str, yaw: float, pitch: float, progress: Progress | None = None
    ) -> Answer:
        """Tune a lasting state and show it."""

        def job(session: Session) -> Answer:
            if not self.studio.may_lift:
                raise ValueError("lifting is switched off on this page (--no-lift)")
            session.lift(self.studio.pipeline, progress)
            view = self._view(session, yaw, pitch, LIFTED)
            return Answer(
                said=text.message(
                    "lifted: the method Lifted is there now; Files gives the mesh and the state"
                ),
                view=view.view,
                methods=(*self.methods, LIFTED),
                method=LIFTED,
            )

        return self._answer(owner, job)

    def _answer(self, owner: str, job: Callable[[Session], Answer]) -> Answer:
        try:
            session = self.studio.session(owner)
            return self.studio.run(lambda: job(session))
        except (ValueError, FileNotFoundError) as error:
            return Answer(said=text.message(str(error), wrong=True))

    def _opened(self, session: Session, source: Source, method: str) -> Answer:
        session.open(source)
        yaw, pitch = session.start_view()
        shown = method if method in self.methods else self.methods[-1]
        view = self._view(session, yaw, pitch, shown)
        return Answer(
            said=text.facts(source),
            view=view.view,
            photos=_photos(source),
            downloads="",
            video="",
            angles=(yaw, pitch),
            methods=self.methods,
            method=shown,
            faces=max(1, len(source.boxes)),
            chosen=source.chosen,
            fresh=True,
        )

    def _view(self, session: Session, yaw: float, pitch: float, method: str) -> Answer:
        image = session.view(self.studio.pipeline, yaw, pitch, method=method)
        caption = text.view_caption(method, yaw, pitch)
        note = f'<p class="note">{text.html.escape(caption)}</p>'
        return Answer(view=text.picture(image, caption) + note)

    def _links(self, session: Session) -> str:
        return text.downloads(session.key, offered(session))


def _photos(source: Source) -> str:
    """HTML of the photo with its faces, and of the crop with its camera."""
    found = source.crop[:0, :0].reshape(0, 2) if source.points is None else source.points
    crop = crop_picture(source.crop, found, None, source.camera)
    parts = []
    if source.boxes:
        photo = photo_picture(
            source.photo, source.boxes, source.face_points, chosen=(source.chosen,)
        )
        parts.append((photo, "the photo, the face found framed in blue", "Photo: face found"))
    words = "Crop. Orange rings: eyes, nose tip and mouth corners as the camera has them"
    if source.points is not None:
        words += "; blue dots: as they were found"
    parts.append((crop, "the crop with the camera's landmarks", words))
    figures = "".join(
        f"<figure>{text.picture(image, alt)}<figcaption>{title}</figcaption></figure>"
        for image, alt, title in parts
    )
    return f'<div class="photos">{figures}</div>'
