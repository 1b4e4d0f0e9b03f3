"""The Gradio page: what stands where, and which event asks for which answer."""

import gradio as gr

from warpgan.data.images import SUFFIXES
from warpgan.demonstration import events
from warpgan.demonstration.answers import EMPTY_VIEW, Answers
from warpgan.demonstration.session import LARGEST_PITCH, LARGEST_YAW
from warpgan.demonstration.sources import RANGES
from warpgan.demonstration.studio import Studio

TITLE = "WarpGAN: one face photo in, views from other cameras out"
NETWORKS = {"concurrency_id": "networks", "concurrency_limit": 1}
"""All events share one place in the queue."""
SLIDER_WORDS = {
    "yaw": ("Camera: yaw, degrees", 0.5),
    "pitch": ("Camera: pitch, degrees", 0.5),
    "roll": ("Crop: turn, degrees", 0.5),
    "right": ("Crop: move right, share of its side", 0.01),
    "down": ("Crop: move down, share of its side", 0.01),
    "zoom": ("Crop: zoom", 0.01),
}


def build_page(studio: Studio, *, about: str, queue_size: int) -> gr.Blocks:
    """Lay the page out.

    Args:
        studio: what it works on.
        about: Markdown on the weights.
        queue_size: requests that may wait; more are refused.
    """
    answers = Answers(studio)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# WarpGAN\n{TITLE.partition(': ')[2].capitalize()}.")
        with gr.Row(equal_height=True):
            with gr.Column(scale=5, min_width=300), gr.Row(elem_classes="examples"):
                examples = [
                    gr.Button(
                        each.name, elem_id=f"example-{number}", elem_classes="example", min_width=50
                    )
                    for number, each in enumerate(studio.examples)
                ]
            with gr.Column(scale=4, min_width=300):
                upload = gr.File(
                    label=f"Your photo (PNG, JPEG, WebP, up to {studio.limits.megabytes:g} MB)",
                    file_types=list(SUFFIXES),
                    height=140,
                    elem_id="upload",
                    visible=studio.reads_photos,
                )
                upload.async_move_resource_to_block_cache = events.only_uploads(upload)
        said = gr.HTML(elem_id="said", js_on_load=None)
        with gr.Row():
            with gr.Column(scale=5, min_width=300):
                view = gr.HTML(EMPTY_VIEW, elem_id="view", js_on_load=None)
                yaw = gr.Slider(
                    -LARGEST_YAW, LARGEST_YAW, 0, step=1, label="Yaw, degrees", elem_id="yaw"
                )
                pitch = gr.Slider(
                    -LARGEST_PITCH,
                    LARGEST_PITCH,
                    0,
                    step=1,
                    label="Pitch, degrees",
                    elem_id="pitch",
                )
                method = gr.Radio(
                    events.titled(answers.methods),
                    value=answers.methods[-1],
                    label="Method",
                    elem_id="method",
                )
            with gr.Column(scale=4, min_width=300):
                photos = gr.HTML(elem_id="photos", js_on_load=None)
                face = gr.Radio([1], value=1, label="Face", visible=False, elem_id="face")
                with gr.Accordion("Adjust crop and camera", open=False):
                    adjust = _adjusting_sliders()
                    reset = gr.Button("Back to what was found", size="sm")
                with gr.Row():
                    orbit = gr.Button("Orbit", min_width=80, elem_id="make-orbit")
                    files = gr.Button("Files", min_width=80, elem_id="make-files")
                    lift = gr.Button(
                        "Lift", min_width=80, elem_id="make-lift", visible=studio.may_lift
                    )
                video = gr.HTML(elem_id="video", js_on_load=None)
                links = gr.HTML(elem_id="links", js_on_load=None)
        with gr.Accordion("What these weights can and can't do", open=True):
            gr.Markdown(about, elem_id="about")

        angles, everything = [yaw, pitch], [said, view, photos, links, video]
        everything += [yaw, pitch, method, face, *adjust]
        queued = {**NETWORKS, "show_progress": "minimal", "show_progress_on": [said]}
        for number, button in enumerate(examples):
            button.click(
                events.opening_example(answers, number),
                method,
                everything,
                api_name=f"example_{number}",
                **queued,
            )
        upload.upload(
            events.opening_upload(answers),
            [upload, method],
            [*everything, upload],
            api_name="upload",
            **queued,
        )
        face.input(
            events.choosing_face(answers), [face, method], everything, api_name="face", **queued
        )
        # Past Gradio's queue, whose polling takes longer than a view; the studio has its own.
        seen = {"queue": False, "trigger_mode": "always_last", "show_progress": "hidden"}
        gr.on(
            [yaw.input, pitch.input, method.input],
            events.seeing(answers),
            [*angles, method],
            [said, view],
            api_name="view",
            **seen,
        )
        adjusted = [said, view, photos, links, video, method]
        gr.on(
            [control.input for control in adjust],
            events.adjusting(answers),
            [*adjust, *angles, method],
            adjusted,
            api_name="adjust",
            **{**queued, "trigger_mode": "always_last"},
        )
        reset.click(events.resetting(answers), [*angles, method], [*adjusted, *adjust], **queued)
        files.click(
            events.writing_files(answers),
            [*angles, method],
            [said, links],
            api_name="files",
            **queued,
        )
        orbit.click(
            events.writing_orbit(answers),
            [method],
            [said, links, video],
            api_name="orbit",
            **queued,
        )
        lift.click(events.lifting(answers), angles, [said, view, method], api_name="lift", **queued)
        page.unload(events.ending(studio))
    page.queue(max_size=queue_size, default_concurrency_limit=1)
    return page


def _adjusting_sliders() -> list[gr.Slider]:
    sliders = []
    for name, low, high in RANGES:
        label, step = SLIDER_WORDS[name]
        middle = 1.0 if name == "zoom" else 0.0
        sliders.append(
            gr.Slider(low, high, middle, step=step, label=label, elem_id=f"adjust-{name}")
        )
    return sliders
