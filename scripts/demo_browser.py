"""What `check_demo.py` knows of the page in a browser, and where it keeps what it finds."""

from pathlib import Path
from typing import Any

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 60_000


class Check:
    """Figures and faults, in the order they were found."""

    def __init__(self, out: Path) -> None:
        """Start with nothing."""
        self.out = out
        self.figures: dict[str, Any] = {}
        self.faults: list[str] = []

    def note(self, name: str, value: Any) -> None:
        """Keep a figure and print it."""
        self.figures[name] = value
        print(f"{name}: {value}", flush=True)

    def require(self, name: str, right: bool, detail: Any = "") -> None:
        """Keep a verdict."""
        self.note(name, "yes" if right else f"NO {detail}")
        if not right:
            self.faults.append(name)


def opened(browser: Any, address: str, reached: list[str], *, phone: bool = False) -> Any:
    """A page in a browser profile of its own."""
    size = PHONE if phone else DESKTOP
    context = browser.new_context(viewport=size, has_touch=phone, is_mobile=phone)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: reached.append(request.url))
    page.on("dialog", lambda dialog: reached.append(f"dialog:{dialog.message}"))
    page.goto(address)
    page.wait_for_selector("#example-0")
    page.wait_for_function("document.querySelector('#view')?.dataset.ready === 'yes'")
    return page


def seen(page: Any, words: str) -> None:
    """Wait until the view's caption holds ``words``, and its picture is drawn."""
    page.wait_for_function(
        "w => { const n = document.querySelector('#view .note');"
        " const i = document.querySelector('#view img');"
        " return n && i && i.complete && n.textContent.includes(w); }",
        arg=words,
    )


def yaw_of(page: Any) -> int:
    """Yaw that the slider stands at."""
    return int(float(page.input_value("#yaw input[type=range]")))


def set_yaw(page: Any, yaw: int) -> None:
    """Move the slider as the script of the page does."""
    page.evaluate(
        "y => { const r = document.querySelector('#yaw input[type=range]');"
        " Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(r, `${y}`);"
        " r.dispatchEvent(new Event('input', {bubbles: true})); }",
        yaw,
    )
