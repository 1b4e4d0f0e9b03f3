"""Style and the few lines of script of the page: drag the view, or move it by arrow keys.

No fonts, scripts or pictures come from elsewhere: the page works without a network.
"""

from warpgan.demonstration.session import LARGEST_PITCH, LARGEST_YAW

FONTS = ("system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif")
MONO_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#view img { width: 100%; max-width: 512px; aspect-ratio: 1; display: block; margin: 0 auto;
  border-radius: 8px; user-select: none; -webkit-user-drag: none; }
#view { touch-action: none; cursor: grab; border-radius: 10px; }
#view:active { cursor: grabbing; }
#view:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
#view .empty { aspect-ratio: 1; max-width: 512px; margin: 0 auto; display: grid;
  place-items: center; border: 2px dashed #9aa3ad; border-radius: 8px; padding: 24px;
  text-align: center; }
.photos { display: flex; gap: 10px; flex-wrap: wrap; align-items: flex-start; }
.photos figure { margin: 0; flex: 1 1 120px; max-width: 300px; }
.photos img { width: 100%; border-radius: 6px; display: block; }
.photos figcaption, .note { font-size: 0.85rem; opacity: 0.85; }
.said { margin: 4px 0; }
.said.wrong { border-left: 4px solid #b3261e; padding: 6px 10px; font-weight: 600; }
.downloads { margin: 4px 0 4px 18px; list-style: disc; overflow-wrap: anywhere; }
.downloads a { text-decoration: underline; font-weight: 600; }
video.orbit { width: 100%; max-width: 384px; border-radius: 8px; }
.examples { gap: 8px !important; }
#view .wrap, #said .wrap { background: none; }
.example { min-height: 128px !important; min-width: 50px !important; padding: 0 0 4px !important;
  align-items: flex-end !important; background-size: cover !important; color: #fff !important;
  background-position: center !important; text-shadow: 0 0 4px #000, 0 0 2px #000;
  border: 2px solid transparent !important; }
.example:hover, .example:focus-visible { border-color: #0072b2 !important; }
@media (max-width: 600px) {
  .example { min-width: 50px !important; min-height: 72px !important;
    font-size: 0.65rem !important; }
}
"""

# The sliders are the truth: dragging moves them as a hand would, so keyboard, drag and touch agree.
HEAD = """
<script>
(() => {
  const slider = (id) => document.querySelector(`#${id} input[type=range]`);
  const set = (id, value, limit) => {
    const range = slider(id);
    if (!range || range.disabled) return;
    const whole = Math.round(Math.max(-limit, Math.min(limit, value)));
    if (Number(range.value) === whole) return;
    const own = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
    own.set.call(range, String(whole));
    range.dispatchEvent(new Event("input", {bubbles: true}));
    range.dispatchEvent(new Event("change", {bubbles: true}));
  };
  const get = (id) => Number((slider(id) || {value: 0}).value);
  const attach = (pad) => {
    pad.dataset.ready = "yes";
    pad.tabIndex = 0;
    pad.setAttribute("role", "application");
    pad.setAttribute("aria-label", "View: drag, or press the arrow keys, to turn the head");
    let from = null;
    pad.addEventListener("pointerdown", (event) => {
      from = {x: event.clientX, y: event.clientY, yaw: get("yaw"), pitch: get("pitch")};
      pad.setPointerCapture(event.pointerId);
      pad.focus({preventScroll: true});
    });
    pad.addEventListener("pointermove", (event) => {
      if (!from) return;
      const turn = 120 / Math.max(200, pad.clientWidth);
      set("yaw", from.yaw - (event.clientX - from.x) * turn, YAW);
      set("pitch", from.pitch + (event.clientY - from.y) * turn, PITCH);
    });
    for (const name of ["pointerup", "pointercancel"])
      pad.addEventListener(name, () => { from = null; });
    pad.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 1 : 5;
      const moves = {ArrowLeft: ["yaw", -step, YAW], ArrowRight: ["yaw", step, YAW],
        ArrowUp: ["pitch", step, PITCH], ArrowDown: ["pitch", -step, PITCH]};
      const move = moves[event.key];
      if (event.key === "Home") { set("yaw", 0, YAW); set("pitch", 0, PITCH); }
      else if (move) set(move[0], get(move[0]) + move[1], move[2]);
      else return;
      event.preventDefault();
    });
  };
  const look = () => {
    const pad = document.querySelector("#view");
    if (pad && !pad.dataset.ready) attach(pad);
  };
  new MutationObserver(look).observe(document.documentElement, {childList: true, subtree: true});
})();
</script>
""".replace("YAW", f"{LARGEST_YAW:g}").replace("PITCH", f"{LARGEST_PITCH:g}")
