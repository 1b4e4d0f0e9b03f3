import json
import re
import threading
import time
import urllib.error
import urllib.request

import pytest

from tests.warpgan.demo_world import build_studio, smooth_picture
from tests.warpgan.image_files import encoded
from warpgan import demo
from warpgan.demonstration.files import Offered
from warpgan.demonstration.text import about, downloads, message


def test_the_page_without_gradio_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        demo.main([])
    assert stopped.value.code == 2 and "--editable '.[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--max-upload-mb", "0"], "--max-upload-mb 0"), (["--queue", "0"], "--queue 0")],
)
def test_mistakes_in_the_command(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(words)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_words_of_others_are_escaped():
    assert "<b>" not in message("<b>") and "&lt;b&gt;" in message("<b>")
    assert "<i>" not in downloads("k", [Offered("a<i>.png", "<i>", 5)])


def test_what_is_said_of_the_weights(tmp_path):
    pipeline = build_studio(tmp_path).pipeline
    shipped = [tmp_path / f"{name}.safetensors" for name in ("svinet_mini", "encoder_mini")]
    assert "rendered portraits only" in about(pipeline, shipped, reads_photos=True)
    own = about(pipeline, [tmp_path / "own.safetensors"], reads_photos=False)
    assert "`own.safetensors`" in own and "rendered portraits" not in own
    assert "takes examples only" in own


# Gradio's queue calls pandas in ways that pandas 3 deprecates.
GRADIO_WARNINGS = pytest.mark.filterwarnings(
    "ignore:.*no_silent_downcasting", "ignore:The copy keyword is deprecated"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    pytest.importorskip("gradio", reason="the extra `demo` (gradio) is not installed")
    demo.keep_to_ourselves()
    import os

    import uvicorn

    studio = build_studio(tmp_path_factory.mktemp("page"))
    os.environ["GRADIO_TEMP_DIR"] = str(studio.uploads)
    from warpgan.demonstration import server
    from warpgan.demonstration.page import build_page

    page = build_page(studio, about="words", queue_size=4)
    app = server.build_app(page, studio, host="127.0.0.1")
    bound = server.bound_socket("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    running.should_exit = running.force_exit = True
    thread.join(5)
    studio.close()
    bound.close()


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False, download_files=False, analytics_enabled=False)


def status(address: str, path: str, **headers: str) -> int:
    request = urllib.request.Request(f"{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_and_its_closed_doors(address):
    assert status(address, "/config") == 200
    with urllib.request.urlopen(address) as answer:
        page = answer.read().decode()
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "fonts.googleapis.com" not in page and "cdn" not in page.lower()
    for path in (
        "/gradio_api/file=/etc/hostname", "/gradio_api/file/etc/hostname", "/file=/etc/hostname",
        "/gradio_api/proxy=http://127.0.0.1:1/", "/files/x/y", "/files/x/..%2f..%2fetc%2fhostname",
    ):  # fmt: skip
        assert status(address, path) == 404, path
    assert status(address, "/config", Host="evil.example") == 400


@GRADIO_WARNINGS
def test_an_example_gives_views_and_files(address, client):
    said, view, *_ = client.predict("warpgan", api_name="/example_0")
    assert "example 1" in said and "data:image/png;base64," in view
    _, turned = client.predict(25, 0, "warpgan", api_name="/view")
    assert turned and turned != view
    _, links = client.predict(25, 0, "warpgan", api_name="/files")
    link = re.search(r'href="(files/[^"]+depth\.png)"', links).group(1)
    with urllib.request.urlopen(f"{address}/{link}") as answer:
        assert answer.read().startswith(b"\x89PNG")
        assert answer.headers["content-disposition"].startswith("attachment")


@GRADIO_WARNINGS
def test_uploads(address, client, tmp_path):
    from gradio_client import handle_file

    (tmp_path / "photo.png").write_bytes(encoded(smooth_picture(64, 4)))
    (tmp_path / "text.jpg").write_text("no picture")
    said = client.predict(handle_file(tmp_path / "photo.png"), "fill", api_name="/upload")[0]
    assert "your photo" in said
    said = client.predict(handle_file(tmp_path / "text.jpg"), "fill", api_name="/upload")[0]
    assert 'role="alert"' in said and "no PNG, JPEG or WebP" in said


@GRADIO_WARNINGS
@pytest.mark.parametrize("path", ["http://127.0.0.1:9/x.png", "/etc/hostname", "ftp://x/y.png"])
def test_addresses_and_paths_are_not_read(address, path):
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    called = f"{address}/gradio_api/call/upload"
    body = json.dumps({"data": [sent, "fill"], "session_hash": "raw"}).encode()
    request = urllib.request.Request(called, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{called}/{event}") as answer:
        said = answer.read().decode()
    assert "event: error" in said and "your photo" not in said
