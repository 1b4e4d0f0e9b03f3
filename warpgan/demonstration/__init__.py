"""The page of ``python -m warpgan.demo``: sessions, uploads, files, and the Gradio page over them.

Everything but `page` and `server` works, and is tested, without Gradio.
"""
