"""The page in a headless Chromium: what it does, how fast, and what it does not let through.

    python scripts/check_demo.py OUT                    starts the page, drives it, writes OUT
    python scripts/check_demo.py OUT --lift             also lifts an example (minutes)
    python scripts/check_demo.py OUT --chromium /usr/bin/chromium

Needs the extra ``demo`` and the package ``playwright`` (pip install playwright), which drives an
installed Chromium. OUT gets screenshots at desktop and phone width and ``check.json`` with every
figure. Exit codes: 0 all well, 1 something is wrong, 3 playwright or Chromium is missing.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo_browser import Check
from demo_checks import drive

ROOT = Path(__file__).parents[1]
WATCHED = """
import runpy, sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        place = args[1:] if event == "socket.connect" else args[:2]
        print("REACHED", event, place, file=sys.stderr)
sys.addaudithook(watch)
sys.argv = ["warpgan.demo", *sys.argv[1:]]
runpy.run_module("warpgan.demo", run_name="__main__")
"""


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--lift", action="store_true")
    options = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is not installed (pip install playwright); nothing checked")
        return 3
    if shutil.which(options.chromium) is None:
        print(f"{options.chromium} is no program; give --chromium PATH; nothing checked")
        return 3
    options.out.mkdir(parents=True, exist_ok=True)
    check = Check(options.out)
    check.note("nice, of page and browser", os.nice(0))
    check.note("load average at start", [round(load, 1) for load in os.getloadavg()])
    server, address, folder, log = start_page()
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(
                executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            reached: list[str] = []
            drive(browser, address, check, reached, lift=options.lift, folder=folder)
            browser.close()
            foreign = [
                url for url in reached if not url.startswith((address, "data:", "blob:", "about:"))
            ]
            check.require("the browser asked nobody else", not foreign, foreign)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    told = log.read_text()
    outside = [
        line
        for line in told.splitlines()
        if line.startswith("REACHED") and "127.0.0.1" not in line and "localhost" not in line
    ]
    check.require("the server asked nobody else", not outside, outside)
    check.require("no trace in the server's log", "Traceback" not in told, told[-2000:])
    check.require("temporary folder is gone after SIGTERM", not folder.exists(), folder)
    check.note("load average at end", [round(load, 1) for load in os.getloadavg()])
    check.note("faults", check.faults)
    (options.out / "check.json").write_text(json.dumps(check.figures, indent=1) + "\n")
    return 1 if check.faults else 0


def start_page() -> tuple[subprocess.Popen, str, Path, Path]:
    """Start the page on a free port: process, address, its temporary folder, its log."""
    place = Path(tempfile.mkdtemp(prefix="check_demo_"))
    log = place / "log"
    server = subprocess.Popen(
        [sys.executable, "-c", WATCHED, "--port", "0", "--max-upload-mb", "5"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place), "PYTHONUNBUFFERED": "1"},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    began = time.perf_counter()
    while time.perf_counter() - began < 180 and server.poll() is None:
        found = re.search(r"open (http://\S+)", log.read_text())
        if found:
            print(f"the page took {time.perf_counter() - began:.1f} s to start")
            return server, found.group(1), next(place.glob("warpgan_demo_*")), log
        time.sleep(0.2)
    server.kill()
    raise SystemExit(f"the page did not start:\n{log.read_text()}")


if __name__ == "__main__":
    sys.exit(main())
