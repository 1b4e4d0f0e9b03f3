"""The server around the page: its own address for files, and what no request gets past.

Only `files/KEY/NAME` serves a session's files, and only those that the session offers. Gradio's
routes that serve or fetch by path are closed. The page may load nothing from elsewhere.
"""

import io
import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from PIL import Image

from warpgan.demonstration.look import CSS, FONTS, HEAD, MONO_FONTS
from warpgan.demonstration.studio import Studio

THUMBNAIL = 192
CLOSED = tuple(
    f"{start}/{word}"
    for start in ("", "/gradio_api")
    for word in ("file=", "file/", "proxy=", "stream/", "deep_link", "monitoring")
)
INLINE = ".mp4"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
Message = dict[str, Any]


class Guard:
    """Outermost layer: foreign host names are refused on loopback, closed routes always."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, hosts: tuple[str, ...]) -> None:
        """Wrap an application.

        Args:
            app: to protect.
            hosts: names by which it may be called; empty: any. A page elsewhere could otherwise
                make a browser talk to a loopback server under its own name.
        """
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        called = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if self.hosts and called not in self.hosts:
            await Response("unknown host", 400)(scope, receive, send)
            return
        if scope["path"].startswith(CLOSED):
            await Response("not here", 404)(scope, receive, send)
            return

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self.app(scope, receive, answered)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def build_app(page: gr.Blocks, studio: Studio, *, host: str) -> Callable[..., Awaitable[None]]:
    """The whole application.

    Args:
        page: of `warpgan.demonstration.page`.
        studio: that the page works on.
        host: it will be called by; a loopback one refuses other names.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pictures = [_thumbnail(example.source.crop) for example in studio.examples]

    @app.get("/files/{key}/{name}")
    def file(key: str, name: str) -> Response:
        path = studio.file(key, name)
        if path is None:
            return Response("this file is gone: make it again", 404)
        kept = {"cache-control": "private, no-store"}
        shown = "inline" if name.endswith(INLINE) else "attachment"
        return FileResponse(path, filename=name, content_disposition_type=shown, headers=kept)

    @app.get("/examples/{number}.png")
    def example(number: int) -> Response:
        if not 0 <= number < len(pictures):
            return Response("no such example", 404)
        return Response(pictures[number], media_type="image/png")

    backgrounds = "".join(
        f"#example-{number} {{ background-image: url('examples/{number}.png'); }}\n"
        for number in range(len(pictures))
    )
    app = gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=studio.limits.bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(font=list(FONTS), font_mono=list(MONO_FONTS)),
        css=CSS + backgrounds,
        head=HEAD,
    )
    return Guard(app, hosts=("localhost", "127.0.0.1", "[::1]", host) if is_loopback(host) else ())


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket to listen on, before anything slow is loaded.

    Raises:
        ValueError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise ValueError(
            f"--host {host} --port {port}: {error}; choose another --port, or 0 for a free one"
        ) from error
    return bound


def serve(app: Callable[..., Awaitable[None]], bound: socket.socket) -> None:
    """Serve until interrupted; SIGTERM ends as an ordinary exit, so that what is temporary goes."""

    def leave(*_: Any) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        return


def _thumbnail(image: Any) -> bytes:
    content = io.BytesIO()
    picture = Image.fromarray(image).resize((THUMBNAIL,) * 2, Image.Resampling.BICUBIC)
    picture.save(content, "PNG")
    return content.getvalue()
