"""The choice between face and hair, and the face alone."""

import gradio as gr

from agetransformer.page.languages import Wording


def add_area(words: Wording, elem_id: str) -> gr.Radio:
    """A radio whose value says whether the hair changes too."""
    hair = gr.Radio([("Face and hair", True)], value=True, elem_id=elem_id)
    words.add(hair, "choices", lambda texts: [(texts.hair_area, True), (texts.face_area, False)])
    words.add(hair, "label", lambda texts: texts.area)
    return hair
