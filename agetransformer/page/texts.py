"""Every word on the page. `Texts` says what there is to say; english.py and vietnamese.py say it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Texts:
    """One language. Braces are filled in with str.format."""

    code: str  # BCP 47, for the page's lang attribute
    name: str  # of the language, in the language

    title: str
    subtitle: str
    language: str
    one_photo: str  # the tabs
    many_photos: str
    video: str

    drop_here: str
    photo: str
    no_photo: str
    waiting: str
    queued: str  # while others are served
    looking: str
    looks: str  # {age}, HTML
    all_look: str  # {count} {youngest} {oldest}, HTML
    largest_only: str  # {found} {count}: more faces than can be chosen

    pick_face: str
    all_faces: str
    face_looks: str  # {number} {age}
    your_face: str
    your_photo: str
    detected: str  # {age}
    at_age: str  # {age}
    at_nearest_age: str  # {age}: where the yellow frame is
    ages_heading: str
    ages_hint: str
    ages_hint_together: str  # of several faces, where no frame is
    compare: str
    age: str

    download_photo: str
    download_grid: str
    new_photo: str
    fine_tuning: str
    strength: str
    strength_hint: str
    area: str
    face_area: str
    hair_area: str
    mark: str

    film: str
    film_hint: str
    kept: str  # {minutes}
    film_format: str
    make_film: str
    film_alt: str
    download_film: str
    making_film: str

    batch_hint: str  # {most} {megabytes}
    batch_photos: str
    batch_ages: str
    batch_faces: str
    largest_face: str
    every_face: str
    make_batch: str
    download_batch: str
    batch_progress: str  # {number} {count}
    batch_done: str  # {done} {count}
    batch_failed: str  # {count}
    no_photos: str
    too_many_photos: str  # {most}
    photos_too_large: str  # {megabytes}
    batch_full: str
    no_ages: str

    video_hint: str  # {seconds} {megabytes}
    clip: str
    make_video: str
    video_result: str
    no_video: str
    video_progress: str
    video_done: str  # {edited} {frames}

    no_face: str
    expired: str
    clip_expired: str
    failed: str
    busy: str
    no_such_face: str  # {face} {count}
    ages_out_of_range: str  # {youngest} {oldest}
    strength_out_of_range: str  # {strongest}
    how_many_ages: str  # {most}
    sweep_backwards: str
    intake_errors: Mapping[str, str]  # sentences of PhotoError and VideoError, from their English

    about_label: str
    about: str
    api_label: str
    api: str

    def kept_for(self, seconds: float) -> str:
        """How long a result can be downloaded."""
        return self.kept.format(minutes=round(seconds / 60))

    def of(self, sentence: str) -> str:
        """An error's English sentence in this language, or as it is when there is no other."""
        return self.intake_errors.get(sentence, sentence)
