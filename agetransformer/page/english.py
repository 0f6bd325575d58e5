"""The page in English."""

from agetransformer.page.texts import Texts

ENGLISH = Texts(
    code="en",
    name="English",
    title="Age Transformer",
    subtitle="Your own photo, at any age from 20 to 69.",
    language="Language",
    one_photo="One photo",
    many_photos="Many photos",
    video="Video",
    drop_here="Drop a portrait here, 20 MB at most, or use the buttons below",
    photo="Your photo",
    no_photo="No photo at hand? Try one of these:",
    waiting="Your photo is edited on this server and deleted within the hour.",
    queued="Your photo is uploaded and waits for its turn…",
    looking="Looking for faces…",
    looks="This face looks about <b>{age}</b> years old.",
    all_look="These {count} faces look <b>{youngest}</b> to <b>{oldest}</b> years old.",
    largest_only="{found} faces were found; the {count} largest can be chosen.",
    pick_face="Which face?",
    all_faces="All",
    face_looks="Face {number}, looks {age}",
    your_face="Your face",
    your_photo="Your photo",
    detected="looks {age}",
    at_age="At age {age}",
    at_nearest_age="At age {age}, the nearest to yours",
    ages_heading="Five ages",
    ages_hint="Tap one to see it in the photo. The yellow frame marks the age nearest to yours.",
    ages_hint_together="Tap one to see it in the photo.",
    compare="Before and after",
    age="Age",
    download_photo="Download photo",
    download_grid="Download the five ages",
    new_photo="Another photo",
    fine_tuning="Fine-tuning",
    strength="Strength of the change (%)",
    strength_hint="100 is what the age asks for; less is subtler.",
    area="What changes",
    face_area="Face only",
    hair_area="Face and hair",
    mark="Write “AI-edited” into the corner of downloads",
    film="Ageing film",
    film_hint="From 20 to 69 and back, in four seconds.",
    kept="It is kept here for {minutes} minutes.",
    film_format="Format",
    make_film="Make the film",
    film_alt="The photo from age 20 to 69 and back",
    download_film="Download film",
    making_film="Making the film…",
    batch_hint="Up to {most} photos, {megabytes} MB together. You get one zip with every photo at every chosen age.",
    batch_photos="Photos",
    batch_ages="Ages",
    batch_faces="Faces in each photo",
    largest_face="The largest",
    every_face="All",
    make_batch="Edit the photos",
    download_batch="Download zip",
    batch_progress="Photo {number} of {count}",
    batch_done="{done} of {count} photos edited.",
    batch_failed="{count} could not be edited:",
    no_photos="Choose some photos first.",
    too_many_photos="These are too many photos. Choose {most} at most.",
    photos_too_large="These photos are too large together. Choose {megabytes} MB at most.",
    batch_full="Left out: the zip had become too large. Please send this photo again with fewer others.",
    no_ages="Choose at least one age.",
    video_hint="A clip of up to {seconds} seconds and {megabytes} MB. The largest face is followed through it, and the "
    "sound is kept. One second of video takes some seconds of computing.",
    clip="Your clip",
    make_video="Change the age",
    video_result="Result",
    no_video="Choose a clip first.",
    video_progress="Editing the clip…",
    video_done="{edited} of {frames} frames edited.",
    no_face=(
        "No face found. Try a photo where the face is well lit and turned towards the camera, "
        "and where it fills a good part of the picture."
    ),
    expired="This photo is no longer kept. Please choose it again.",
    clip_expired="This clip is no longer kept. Please choose it again.",
    failed="That did not work, and it is our fault. Please try again, or try another photo.",
    busy="The server could not take this; many people may be here right now. Please try again in a minute.",
    no_such_face="There is no face {face} to choose in this photo: it offers {count}, counted from 0, largest first.",
    ages_out_of_range="Ages must be between {youngest} and {oldest}.",
    strength_out_of_range="Strength must be between 0 and {strongest}; 1 is the change that the age asks for.",
    how_many_ages="Name at least one age and at most {most}.",
    sweep_backwards="The film must start at a younger age than it reaches.",
    intake_errors={},
    about_label="About, training and limits",
    about="""
**What it is.** A small neural network that changes the age of a face and keeps everything else: identity, expression,
hair style, background. It follows *High Resolution Face Age Editing* (Yao, Puy, Newson, Gousseau, Hellier, 2020). The
face is encoded once; every age is then decoded from that same encoding. Only the difference is added to your photo, so
pixels that age does not touch stay your own, at full resolution.

**How it was trained.** By the code of this project, on portraits from FFHQ whose ages a web service had
estimated, and in the end on some from UTKFace and All-Age-Faces. A second network, trained here too, judged its edits.
It also gives the age you see; it learned from UTKFace, All-Age-Faces and FFHQ and is wrong by about five years on
average.

**Its limits.** It paints what ageing looks like on average in its training photos: it is not a forecast of how anybody
will look, and must not be used to decide anything about anybody's age. Photos on the internet under-represent many
people, and so does it: results vary with skin tone, age and pose. Glasses, hands, heavy make-up, strong side light
and profiles are harder. It does not change hair length, hairline or head shape. Hair and beards turn grey with the
years by a rule, the same for everybody, and grey ones become brown in younger years, whatever colour they had. "Face
only" leaves them as they are. Ages under 20 and over 69 are left out.

**Your photo.** It is processed on this server, is not used for training, and is deleted within the hour. Downloads
carry none of its metadata, and are marked as edited by AI. Edit only photos of people who agree to it.

**Licence.** Code: Apache-2.0. Trained weights: CC BY-NC 4.0 (not for commercial use), because of their training data.
""",
    api_label="Use it from Python",
    api="""
```python
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")  # this page's address
photo = handle_file("portrait.jpg")
ages = client.predict(photo, api_name="/estimate_age")  # [38.2]
files = client.predict(photo, ages=[25, 65], api_name="/edit")  # two full-size PNGs
subtle = client.predict(photo, ages=[65], strength=0.6, all_faces=True, api_name="/edit")  # everybody, a little
figure = client.predict(photo, api_name="/age_grid")  # one PNG
film = client.predict(photo, format="mp4", api_name="/sweep")  # 20 to 69 and back; also "gif" and "webp"
```
""",
)
