"""Every word on the page."""

TITLE = "Age Transformer"

HEADER = """
<h1>Age Transformer</h1>
<p>Your own photo, at any age from 20 to 69.</p>
"""

DROP_HERE = "Drop a portrait here, or use the buttons below"
PHOTO_LABEL = "Your photo"
EXAMPLES_LABEL = "No photo at hand? Try one of these"

WAITING = "Choose a photo to begin. It is edited on this server and deleted within the hour."
LOOKING = "Looking for faces…"
NO_FACE = (
    "No face found. Try a photo where the face is well lit and turned towards the camera, "
    "and where it fills a good part of the picture."
)
EXPIRED = "This photo is no longer kept. Please choose it again."
FAILED = "That did not work, and it is our fault. Please try again, or try another photo."
NO_SUCH_FACE = "There is no face {face} in this photo: it has {count}, counted from 0, largest first."
AGES_OUT_OF_RANGE = "Ages must be between {youngest} and {oldest}."
HOW_MANY_AGES = "Name at least one age and at most {most}."

PICK_FACE = "Several faces found. Choose one:"
YOUR_FACE = "Your face"
DETECTED = "looks {age}"
AGES_HEADING = "Five ages"
AGES_HINT = "Tap an age to see it in the photo. The yellow frame marks the age nearest to yours."
COMPARE_LABEL = "Before and after"
SLIDER_LABEL = "Age"
DOWNLOAD_PHOTO = "Download photo"
DOWNLOAD_GRID = "Download ages grid"


def detected(age: float) -> str:
    """The status line once a face is chosen."""
    return f"This face looks about <b>{age:.0f}</b> years old. Drag the slider to change that."


ABOUT_LABEL = "About, training and limits"
ABOUT = """
**What it is.** A small neural network that changes the age of a face and keeps everything else: identity, expression,
hair style, background. It follows *High Resolution Face Age Editing* (Yao, Puy, Newson, Gousseau, Hellier, 2020). The
face is encoded once; every age is then decoded from that same encoding. Only the difference is added to your photo, so
pixels that age does not touch stay your own, at full resolution.

**How it was trained.** By the code of this project, on portraits from FFHQ whose ages were estimated by a second
network. That network also gives the age you see here; it learned from UTKFace, All-Age-Faces and FFHQ and is wrong by
about five years on average.

**Its limits.** It paints what ageing looks like on average in its training photos: it is not a forecast of how anybody
will look, and must not be used to decide anything about anybody's age. Photos on the internet under-represent many
people, and so does it: results vary with skin tone, age and pose. Glasses, hands, heavy make-up, strong side light
and profiles are harder. It does not change hair length, hairline or head shape. Ages under 20 and over 69 are left out.

**Your photo.** It is processed on this server, is not used for training, and is deleted within the hour. Downloads
carry none of its metadata, and are marked as edited by AI. Edit only photos of people who agree to it.

**Licence.** Code: Apache-2.0. Trained weights: CC BY-NC 4.0 (not for commercial use), because of their training data.
"""

API_LABEL = "Use it from Python"
API = """
```python
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")  # this page's address
ages = client.predict(handle_file("portrait.jpg"), api_name="/estimate_age")  # [38.2]
files = client.predict(handle_file("portrait.jpg"), ages=[25, 65], api_name="/edit")  # two full-size PNGs
figure = client.predict(handle_file("portrait.jpg"), api_name="/age_grid")  # one PNG
```
"""
