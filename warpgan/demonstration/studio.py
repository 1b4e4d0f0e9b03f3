"""Networks, examples and sessions behind the page.

One thread runs every network: requests wait for each other and can't mix their pictures, and two
cores are not fought over. Sessions are bounded in number and in time; the one that has been idle
for longest goes first. All files lie in one temporary folder, which `close` removes.
"""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from warpgan.demonstration.examples import Example
from warpgan.demonstration.session import Session
from warpgan.demonstration.sources import Reader, Source, read_source
from warpgan.demonstration.uploads import UploadLimits, read_upload
from warpgan.pipeline import WarpGAN
from warpgan.processes import is_alive

FOLDER_PREFIX = "warpgan_demo_"
MOST_SESSIONS, MOST_WAITING = 32, 16
IDLE_SECONDS = 1800.0
UPLOAD_SECONDS = 300.0
"""A photo that was uploaded but never read is removed after this."""
UPLOAD_BYTES = 500_000_000
"""Of such photos together; the oldest are removed."""
SWEEP_SECONDS = 20.0
Result = TypeVar("Result")


class Studio:
    """What all sessions share."""

    def __init__(
        self,
        pipeline: WarpGAN,
        *,
        examples: tuple[Example, ...],
        make_reader: Callable[[], Reader] | None = None,
        limits: UploadLimits | None = None,
        may_lift: bool = True,
        most_waiting: int = MOST_WAITING,
        most_sessions: int = MOST_SESSIONS,
        idle_seconds: float = IDLE_SECONDS,
        parent: Path | None = None,
    ) -> None:
        """Make the temporary folder.

        Args:
            pipeline: the networks.
            examples: photos to start from.
            make_reader: loads what finds faces, when the first photo comes; None: no uploads.
            limits: of uploads; the defaults if None.
            may_lift: whether lifting is offered.
            most_waiting: jobs that may wait; more are refused.
            most_sessions: more are not kept.
            idle_seconds: a session that was not used for so long is dropped.
            parent: where the temporary folder is made; the system's place if None.
        """
        self.pipeline = pipeline
        self.examples = examples
        self.limits = limits or UploadLimits()
        self.may_lift = may_lift
        remove_abandoned(parent)
        prefix = f"{FOLDER_PREFIX}{os.getpid()}_"
        self.root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self.uploads = self.root / "uploads"
        self.uploads.mkdir()
        self._most_sessions, self._idle_seconds = most_sessions, idle_seconds
        self._waiting, self._most_waiting = 0, most_waiting
        self._make_reader = make_reader
        self._reader: Reader | None = None
        self._sessions: dict[str, Session] = {}
        self._by_key: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="networks")
        self._stopped = threading.Event()

    @property
    def reads_photos(self) -> bool:
        """Whether there is something that finds faces."""
        return self._make_reader is not None

    def run(self, job: Callable[[], Result]) -> Result:
        """Run a job on the networks' thread and wait for it.

        Raises:
            ValueError: too many wait already; and what the job raises.
        """
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise ValueError("too many people wait for this page; try again in a moment")
            self._waiting += 1
        try:
            return self._worker.submit(job).result()
        finally:
            with self._lock:
                self._waiting -= 1

    def session(self, owner: str) -> Session:
        """The session of an owner, made where there is none.

        Args:
            owner: what tells browser tabs apart.

        Raises:
            ValueError: no owner.
        """
        if not owner:
            raise ValueError("this request belongs to no session; reload the page")
        with self._lock:
            session = self._sessions.get(owner)
            if session is None:
                key = secrets.token_hex(16)
                session = Session(key, self.root / key)
                self._sessions[owner] = self._by_key[key] = session
            session.last_used = time.monotonic()
            excess = len(self._sessions) - self._most_sessions
            idle_first = sorted(self._sessions, key=lambda each: self._sessions[each].last_used)
            gone = [self._drop(each) for each in idle_first[: max(0, excess)]]
        self._close(gone)
        return session

    def end(self, owner: str) -> None:
        """Drop a session and its files; nothing happens where there is none."""
        with self._lock:
            gone = [self._drop(owner)] if owner in self._sessions else []
        self._close(gone)

    def __len__(self) -> int:
        """Sessions kept."""
        return len(self._sessions)

    def file(self, key: str, name: str) -> Path | None:
        """A file that a session offers; None for any other word."""
        with self._lock:
            session = self._by_key.get(key)
        path = session.files.get(name) if session is not None else None
        return path if path is not None and path.is_file() else None

    def read_photo(self, path: Path) -> Source:
        """Decode an upload, remove its file, and find its largest face.

        Raises:
            ValueError: see `read_upload` and `read_source`.
        """
        if not path.resolve().is_relative_to(self.uploads.resolve()):
            raise ValueError("only files uploaded to this page are read")
        try:
            photo = read_upload(path, self.limits)
        finally:
            _remove_empty(self.uploads)
        return self.find_face(photo)

    def find_face(self, photo: np.ndarray, *, chosen: int = 1) -> Source:
        """Find a face in a photo ``[H, W, 3]`` uint8; see `read_source`."""
        if self._make_reader is None:
            raise ValueError("this page reads no photos; choose an example")
        if self._reader is None:
            self._reader = self._make_reader()
        size = self.pipeline.generator.img_resolution
        return read_source(photo, self._reader, size=size, chosen=chosen)

    def sweep(self) -> None:
        """Drop sessions that are idle, and uploads that nobody read."""
        now = time.monotonic()
        with self._lock:
            idle = [
                owner
                for owner, session in self._sessions.items()
                if now - session.last_used > self._idle_seconds
            ]
            gone = [self._drop(owner) for owner in idle]
        self._close(gone)
        _remove_old(self.uploads, seconds=UPLOAD_SECONDS, most_bytes=UPLOAD_BYTES)

    def keep_sweeping(self) -> None:
        """Sweep now and then on a thread of its own, until `close`."""

        def loop() -> None:
            while not self._stopped.wait(SWEEP_SECONDS):
                self.sweep()

        threading.Thread(target=loop, name="sweeper", daemon=True).start()

    def close(self) -> None:
        """Drop all sessions and remove the temporary folder."""
        self._stopped.set()
        self._worker.shutdown(wait=True, cancel_futures=True)
        for session in self._sessions.values():
            session.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _close(self, sessions: list[Session]) -> None:
        """Close sessions on the networks' thread: none is pulled away under a running job."""
        for session in sessions:
            self._worker.submit(session.close)

    def _drop(self, owner: str) -> Session:
        session = self._sessions.pop(owner)
        del self._by_key[session.key]
        return session


def remove_abandoned(parent: Path | None = None) -> None:
    """Remove temporary folders of pages whose process was killed."""
    place = Path(tempfile.gettempdir()) if parent is None else parent
    for folder in place.glob(f"{FOLDER_PREFIX}*_*"):
        process = folder.name.removeprefix(FOLDER_PREFIX).split("_")[0]
        if process.isdigit() and not is_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _remove_empty(folder: Path) -> None:
    """Remove the empty files of other names that Gradio leaves beside every upload."""
    for path in folder.iterdir():
        if path.is_file() and not path.stat().st_size:
            path.unlink(missing_ok=True)


def _remove_old(folder: Path, *, seconds: float, most_bytes: int) -> None:
    """Remove files older than ``seconds``, and the oldest while all are larger than allowed."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        except FileNotFoundError:
            continue
    total, now = sum(size for _, size, _ in found), time.time()
    for modified, size, path in sorted(found):
        if now - modified > seconds or total > most_bytes:
            path.unlink(missing_ok=True)
            total -= size
