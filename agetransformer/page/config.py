"""Settings of the page and of the server behind it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PageConfig:
    """Every limit is there so that many users at once cannot exhaust the machine."""

    grid_ages: tuple[int, ...] = (25, 35, 45, 55, 65)  # the paper's figure 1
    youngest: int = 20  # Q of the paper
    oldest: int = 69
    preview_side: int = 1280  # longest side of the before/after pictures, in pixels; downloads are full size
    max_ages: int = 10  # in one request
    max_faces: int = 8  # offered in the face picker, largest first
    encodings_kept: int = 24  # encoded faces in memory, over all users; the least recently used goes first
    state_seconds: int = 3000  # how long a user's state lives after its last change: as long as the photo
    files_seconds: int = 3000  # how long uploads and results stay on disk, and a tab that nobody uses in memory;
    files_check_seconds: int = 300  # how often old ones are looked for: within the hour they are gone
    files_bytes: int = 20_000_000_000  # of all of them together; beyond it a user is asked to try again
    batch_photos: int = 20  # in one batch
    batch_bytes: int = 100_000_000  # of the photos of one batch together
    batch_zip_bytes: int = 400_000_000  # of the zip; what does not fit is left out and listed
    clip_seconds: int = 10  # of a video
    clip_frames: int = 640  # of it: ten seconds at 60 a second, and some that files have beyond
    clip_side: int = 1280  # its longer side, in pixels; larger ones are shrunk
    upload_megabytes: int = 60  # of one file: ten seconds of a phone's video
    photo_bytes: int = 20_000_000  # of one photo
    sessions_kept: int = 256  # browser tabs and API clients remembered; the least recently used goes first
    queue_size: int = 48  # requests waiting; beyond it a user is asked to try again
    concurrency: int = 1  # edits computed at a time; each one uses every core or the whole GPU
