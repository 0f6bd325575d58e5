"""The page in a real browser: what a person does with it, at desktop and phone size."""

import base64
import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from app_fixtures import HeldEditor, SlowDecoder, SlowEditor, SquareEditor, draw_photo, grey_of, running_page
from gradio_client import Client, handle_file
from gradio_client.utils import Status
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from agetransformer.page.config import PageConfig
from agetransformer.page.english import ENGLISH
from agetransformer.page.vietnamese import VIETNAMESE

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 60  # patience with a busy machine


class Browser:
    """One tab, with the few things the tests do in it."""

    def __init__(self, driver: webdriver.Chrome, address: str, downloads: Path):
        self.driver, self.address, self.downloads = driver, address, downloads

    def until(self, condition: Callable[[], object], what: str) -> object:
        redrawn = (StaleElementReferenceException,)
        wait = WebDriverWait(self.driver, SECONDS, poll_frequency=0.1, ignored_exceptions=redrawn)
        return wait.until(lambda _: condition(), what)

    def all(self, selector: str) -> list[WebElement]:
        return [element for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]

    def open(self) -> None:
        self.driver.get(self.address)
        self.file_input()

    def file_input(self) -> WebElement:
        inputs = "#photo input[type=file]"
        return self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, inputs), "the place to drop a photo")[0]

    def upload(self, photo: Path) -> None:
        """Choose a photo, as a person would: if one is there already, by the button for another one first."""
        for button in self.all("#new-photo"):
            self.click(button)
            self.until(lambda: self.status() in (ENGLISH.waiting, VIETNAMESE.waiting), "the empty page")
        self.file_input().send_keys(str(photo))

    def click(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def get(self, selector: str) -> WebElement:
        """The one that is shown, once it is."""
        return self.until(lambda: next(iter(self.all(selector)), None), selector)

    def unfold(self, panel: str) -> None:
        """Open a folded panel that is not open yet."""
        button = self.get(f"#{panel} > button")
        if "open" not in button.get_attribute("class"):
            self.click(button)

    def speak(self, language: str) -> None:
        self.click(self.driver.find_element(By.CSS_SELECTOR, f"#language label:has(input[value='{language}'])"))
        self.until(lambda: self.driver.find_element(By.TAG_NAME, "html").get_attribute("lang") == language, language)

    def status(self) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, "#status [role=status]").text

    def page_of(self, selector: str) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).get_attribute("innerHTML")

    def wait_for_ages(self) -> list[WebElement]:
        return self.until(lambda: len(found := self.all("#ages button[data-value]")) == 5 and found, "five ages")

    def pictures(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Before and after, as shown in the before/after view."""
        images = self.driver.find_elements(By.CSS_SELECTOR, "#compare img")
        return tuple(pixels_of(image) for image in images) if len(images) == 2 else None

    def after_is(self, box: tuple[slice, slice], grey: int) -> bool:
        pictures = self.pictures()
        return pictures is not None and bool(
            (np.abs(pictures[1][box].astype(int) - grey) <= 3).all() and not np.array_equal(*pictures)
        )


def pixels_of(image: WebElement) -> np.ndarray:
    """The picture of an <img> whose source is a data URI."""
    data = image.get_attribute("src").partition("base64,")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    with running_page(SquareEditor(), tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory) -> Iterator[Browser]:
    yield from start_browser(address, tmp_path_factory.mktemp("downloads"), phone=False)


@pytest.fixture(scope="module")
def phone(address, tmp_path_factory) -> Iterator[Browser]:
    yield from start_browser(address, tmp_path_factory.mktemp("downloads"), phone=True)


def start_browser(address: str, downloads: Path, phone: bool) -> Iterator[Browser]:
    """A fresh Chromium with the page open: 360 x 780 with touch, or 1280 x 1600."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "profile.default_content_setting_values.automatic_downloads": 1,  # do not ask before a second one
        },
    )
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    if phone:
        metrics = {"width": 360, "height": 780, "pixelRatio": 2.0, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        if not phone:
            driver.set_window_size(1280, 1600)
        browser = Browser(driver, address, downloads)
        browser.open()
        yield browser
    finally:
        driver.quit()


@pytest.fixture
def portrait(tmp_path) -> Path:
    return draw_photo(tmp_path / "portrait.png", (800, 600), (RED, (300, 150, 200)))


FACE = (slice(160, 340), slice(310, 490))  # inside the red square


def test_upload_shows_five_ages_and_frames_the_nearest(browser, portrait):
    browser.upload(portrait)
    buttons = browser.wait_for_ages()
    assert [button.text for button in buttons] == ["25", "35", "45", "55", "65"]
    for button, age in zip(buttons, (25, 35, 45, 55, 65), strict=True):
        picture = pixels_of(button.find_element(By.TAG_NAME, "img"))
        assert np.abs(picture.astype(int) - grey_of(age)).max() <= 2
        caption = button.find_element(By.CSS_SELECTOR, ".label")
        assert caption.location["y"] >= button.find_element(By.TAG_NAME, "img").location["y"] + 40
    framed = [
        button.text
        for button in buttons
        if "rgb(255, 212, 0)" in button.find_element(By.TAG_NAME, "img").value_of_css_property("box-shadow")
    ]
    assert framed == ["35"]  # a red face looks 33
    assert "33" in browser.status()
    original = pixels_of(browser.driver.find_element(By.CSS_SELECTOR, "#ages figure img"))
    assert np.abs(original.astype(int) - RED).max() <= 3
    assert browser.until(lambda: browser.after_is(FACE, grey_of(65)), "65 in the photo")


def test_tapping_an_age_and_moving_the_slider_change_the_photo(browser, portrait):
    browser.upload(portrait)
    browser.click(browser.wait_for_ages()[0])
    assert browser.until(lambda: browser.after_is(FACE, grey_of(25)), "25 in the photo")
    slider = browser.driver.find_element(By.CSS_SELECTOR, "#age input[type=range]")
    assert slider.get_attribute("value") == "25"
    slider.send_keys(Keys.ARROW_RIGHT * 4)
    assert browser.until(lambda: browser.after_is(FACE, grey_of(29)), "29 in the photo")
    before, after = browser.pictures()
    outside = np.ones(before.shape[:2], dtype=bool)
    outside[140:360, 290:510] = False
    assert (before[outside] == after[outside]).all()


def test_downloads_are_full_size_pngs(browser, portrait):
    browser.upload(portrait)
    browser.click(browser.wait_for_ages()[1])
    browser.until(lambda: browser.after_is(FACE, grey_of(35)), "35 in the photo")
    for button, name in (("get-photo", "age_35.png"), ("get-grid", "ages.png")):
        browser.click(browser.driver.find_element(By.ID, button))
        browser.until(lambda name=name: (browser.downloads / name).is_file(), f"the download {name}")
    photo = Image.open(browser.downloads / "age_35.png")
    assert photo.format == "PNG" and photo.size == (800, 600)
    assert (np.asarray(photo)[FACE] == grey_of(35)).all()
    assert "AI-edited" in photo.text["Description"]
    assert Image.open(browser.downloads / "ages.png").width > 800


def test_several_faces_can_be_picked_from(browser, tmp_path):
    photo = draw_photo(tmp_path / "two.png", (800, 600), (GREEN, (50, 50, 300)), (BLUE, (500, 300, 200)))
    browser.upload(photo)
    browser.wait_for_ages()
    assert "52" in browser.status()
    faces = browser.all(".picker button")
    assert [face.get_attribute("aria-pressed") for face in faces] == ["true", "false", "false"]
    browser.click(faces[1])
    browser.until(lambda: "24" in browser.status(), "the other face")
    browser.wait_for_ages()
    small = (slice(310, 490), slice(510, 690))
    assert browser.until(lambda: browser.after_is(small, grey_of(65)), "65 for the other face")
    assert np.abs(browser.pictures()[1][60:340, 60:340].astype(int) - GREEN).max() <= 3

    browser.click(browser.all(".picker button")[2])
    browser.until(lambda: "24</b>" in browser.page_of("#status"), "the sentence about both")
    browser.wait_for_ages()
    large = (slice(60, 340), slice(60, 340))
    assert browser.until(
        lambda: browser.after_is(small, grey_of(25)) and browser.after_is(large, grey_of(25)), "25 for both"
    )
    assert [face.get_attribute("aria-pressed") for face in browser.all(".picker button")] == ["false", "false", "true"]
    browser.click(browser.get("#get-photo"))
    browser.until((browser.downloads / "age_25.png").is_file, "the download")
    saved = np.asarray(Image.open(browser.downloads / "age_25.png"))
    assert (saved[small] == grey_of(25)).all() and (saved[large] == grey_of(25)).all()


def test_strength_and_area_change_the_photo(browser, portrait):
    browser.upload(portrait)
    browser.click(browser.wait_for_ages()[4])
    browser.unfold("fine-tuning")
    slider = browser.get("#strength input[type=range]")
    slider.send_keys(Keys.HOME)
    assert browser.until(lambda: np.array_equal(*browser.pictures()), "no change at strength 0")
    slider.send_keys(Keys.END)
    browser.until(lambda: not np.array_equal(*browser.pictures()), "a change at strength 150")
    margin = (slice(152, 158), slice(320, 480))  # of the square, and in blocks of the JPEG without its inside
    assert not np.array_equal(*(picture[margin] for picture in browser.pictures()))
    browser.until(lambda: len(browser.all("#area label")) == 2, "two areas")
    browser.click(browser.all("#area label")[1])
    assert browser.until(
        lambda: np.array_equal(*(picture[margin] for picture in browser.pictures())), "a change of the face alone"
    )
    assert not np.array_equal(*(picture[FACE] for picture in browser.pictures()))
    browser.open()  # with the usual strength again


def test_of_several_ages_asked_for_at_once_the_last_is_shown(browser, tmp_path, portrait):
    with running_page(SlowDecoder(0.4), tmp_path / "server") as url:
        visitor = Browser(browser.driver, url, browser.downloads)
        visitor.open()
        visitor.upload(portrait)
        buttons = visitor.wait_for_ages()
        for button in buttons[:4]:
            button.click()
        slider = visitor.driver.find_element(By.CSS_SELECTOR, "#age input[type=range]")
        assert visitor.until(lambda: visitor.after_is(FACE, grey_of(55)), "55, which was tapped last")
        assert slider.get_attribute("value") == "55"
        number = visitor.driver.find_element(By.CSS_SELECTOR, "#age input[type=number]")
        number.send_keys(Keys.CONTROL, "a")
        number.send_keys("38")  # 3 comes first, which is out of range
        assert visitor.until(lambda: visitor.after_is(FACE, grey_of(38)), "38, which was typed")
        assert not visitor.all(".toast-body")
    browser.open()


def test_the_row_follows_the_strength_by_key_and_by_reset(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()
    browser.unfold("fine-tuning")

    def grey_in_row() -> int:
        (button,) = browser.all("#ages button[data-value='25']") or [None]
        return -1 if button is None else int(pixels_of(button.find_element(By.TAG_NAME, "img"))[90, 90, 1])

    browser.get("#strength input[type=range]").send_keys(Keys.HOME)
    browser.until(lambda: grey_in_row() == 0, "a row without a change")  # as red as the photo
    browser.click(browser.get("#strength .reset-button"))
    browser.until(lambda: abs(grey_in_row() - grey_of(25)) <= 2, "the row at the usual strength")
    assert browser.until(lambda: browser.after_is(FACE, grey_of(65)), "the photo at the usual strength")


def test_the_pictures_and_the_age_shown_have_names(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()
    browser.until(lambda: browser.after_is(FACE, grey_of(65)), "65 in the photo")

    def names() -> list[str]:
        return [picture.get_attribute("alt") for picture in browser.all("#compare .content img")]

    browser.until(lambda: names()[1:] == ["Age 65"] and ENGLISH.your_face in names()[0], "the names of the pictures")
    for age in (65, 35):
        pressed = browser.all("#ages button[aria-pressed=true]")
        assert [button.get_attribute("data-value") for button in pressed] == [str(age)]
        browser.click(browser.get("#ages button[data-value='35']"))
        browser.until(lambda: browser.after_is(FACE, grey_of(35)) and names()[1] == "Age 35", "35 in the photo")


def test_a_film_is_made_and_shown(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()
    browser.unfold("film-panel")
    browser.until(lambda: len(browser.all("#film-format label")) == 3, "three formats")
    browser.click(browser.all("#film-format label")[2])  # WebP
    browser.click(browser.get("#make-film"))
    shown = browser.get("#film img")
    width = "return arguments[0].complete && arguments[0].naturalWidth"
    assert browser.until(lambda: browser.driver.execute_script(width, shown) == 768, "the film as a picture")
    browser.click(browser.get("#get-film"))
    browser.until((browser.downloads / "ages.webp").is_file, "the download")
    browser.unfold("fine-tuning")
    browser.click(browser.get("#mark input"))
    browser.until(lambda: not browser.all("#film img, #get-film"), "no film that would be without the mark")
    browser.click(browser.get("#make-film"))
    browser.click(browser.get("#mark input"))  # while it is made
    end = time.monotonic() + 4  # it takes one second
    while time.monotonic() < end:
        assert not browser.all("#film img, #get-film")
    assert Image.open(browser.downloads / "ages.webp").n_frames > 40  # of 48; those that are alike become one


def test_many_photos_come_back_in_one_zip(browser, portrait, tmp_path):
    browser.click(browser.all("#tabs button[role=tab]")[1])
    lawn = draw_photo(tmp_path / "lawn.png", (300, 200))
    browser.driver.find_element(By.CSS_SELECTOR, "#batch-photos input[type=file]").send_keys(f"{portrait}\n{lawn}")
    browser.until(lambda: len(browser.all("#batch-photos tr.file")) == 2, "both photos")
    browser.click(browser.get("#make-batch"))
    browser.until(lambda: "1 of 2" in browser.page_of("#batch-status"), "the report")
    assert "lawn" in browser.page_of("#batch-status")
    browser.click(browser.get("#get-batch"))
    browser.until((browser.downloads / "age_transformer.zip").is_file, "the zip")
    with zipfile.ZipFile(browser.downloads / "age_transformer.zip") as archive:
        assert archive.namelist() == ["portrait_age_25.png", "portrait_age_65.png", "report.txt"]
    browser.click(browser.all("#tabs button[role=tab]")[0])


def test_what_is_missing_is_said_at_once_while_others_are_served(browser, tmp_path, portrait):
    editor = HeldEditor()
    with running_page(editor, tmp_path / "server") as url:
        job = Client(url, verbose=False).submit(handle_file(portrait), api_name="/estimate_age")
        visitor = Browser(browser.driver, url, browser.downloads)
        visitor.open()
        for tab, button, status, sentence in (
            (1, "#make-batch", "#batch-status", ENGLISH.no_photos),
            (2, "#make-clip", "#clip-status", ENGLISH.no_video),
        ):
            visitor.click(visitor.all("#tabs button[role=tab]")[tab])
            for _ in range(2):  # and the button can be pressed again
                visitor.click(visitor.get(f"{button}:not([disabled])"))
                visitor.until(lambda status=status, text=sentence: text in visitor.page_of(status), sentence)
        assert not visitor.all(".toast-body")
        editor.go_on.set()
        assert job.result(60) == [33.0]
    browser.open()


def test_of_a_batch_that_nobody_waits_for_the_rest_is_not_edited(browser, tmp_path):
    class Counting(SlowDecoder):
        edits = 0

        def decode(self, *arguments, **named):
            self.edits += 1
            return super().decode(*arguments, **named)

    editor = Counting(0.5)
    photos = [draw_photo(tmp_path / f"{index}.png", (300, 200), (RED, (50, 50, 80))) for index in range(12)]
    with running_page(editor, tmp_path / "server") as url:
        visitor = Browser(browser.driver, url, browser.downloads)
        visitor.open()
        visitor.click(visitor.all("#tabs button[role=tab]")[1])
        files = visitor.driver.find_element(By.CSS_SELECTOR, "#batch-photos input[type=file]")
        files.send_keys("\n".join(map(str, photos)))
        visitor.until(lambda: len(visitor.all("#batch-photos tr.file")) == len(photos), "the photos")
        visitor.click(visitor.get("#make-batch"))
        visitor.until(lambda: editor.edits > 0, "the first edit")
        assert not visitor.get("#make-batch").is_enabled()
        visitor.driver.get("about:blank")
        begun = editor.edits
        (age,) = Client(url, verbose=False).predict(handle_file(photos[0]), api_name="/estimate_age")
        assert age == 33.0 and editor.edits < min(begun + 12, 2 * len(photos))
    browser.open()


def test_the_page_speaks_vietnamese_and_english_again(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()
    browser.speak("vi")
    browser.until(lambda: browser.status() == "Khuôn mặt này trông khoảng 33 tuổi.", "the sentence about the face")
    browser.until(lambda: browser.get("#get-photo").text == VIETNAMESE.download_photo, "the button")
    browser.until(lambda: VIETNAMESE.ages_heading in browser.get("#ages h2").text, "the ages' heading")
    browser.upload(draw_photo(portrait.with_name("empty.png"), (300, 200)))
    browser.until(lambda: browser.status() == VIETNAMESE.no_face, "the sentence about no face")
    browser.speak("en")
    browser.until(lambda: browser.status() == ENGLISH.waiting, "English again")


@pytest.mark.parametrize("ending", ["heic", "avif"])
@pytest.mark.parametrize("way", ["chosen", "dropped", "dropped on a result"])
def test_photos_that_browsers_do_not_know_are_edited_and_shown(browser, tmp_path, ending, way):
    photo = Image.open(draw_photo(tmp_path / "portrait.png", (800, 600), (RED, (300, 150, 200))))
    photo.save(tmp_path / f"portrait.{ending}", quality=100)
    if way == "chosen":
        browser.upload(tmp_path / f"portrait.{ending}")
    else:
        if way == "dropped":
            browser.open()
        else:
            browser.upload(draw_photo(tmp_path / "before.png", (800, 600), (GREEN, (300, 150, 200))))
            browser.wait_for_ages()
            browser.until(lambda: browser.after_is(FACE, grey_of(25)), "the photo before")
        data = base64.b64encode((tmp_path / f"portrait.{ending}").read_bytes()).decode()
        browser.driver.execute_script(DROP, data, f"portrait.{ending}")
    browser.wait_for_ages()
    assert browser.until(lambda: browser.after_is(FACE, grey_of(65)), "65 in the photo")
    assert not browser.all("#photo")  # no broken picture beside the result


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const given = new DataTransfer();
given.items.add(new File([bytes], arguments[1]));  // of no known type
document.querySelector('#header').dispatchEvent(
  new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true }));
"""


def test_an_example_does_not_bring_the_first_language_back(browser):
    browser.open()
    browser.speak("vi")
    browser.until(lambda: VIETNAMESE.drop_here in browser.page_of("#photo"), "the place to drop a photo")
    browser.click(browser.all("#examples button")[0])
    browser.until(lambda: browser.status() == VIETNAMESE.no_face, "no face of one colour in it")
    browser.until(lambda: VIETNAMESE.drop_here in browser.page_of("#photo"), "the place to drop a photo, again")
    browser.speak("en")
    browser.until(lambda: browser.status() == ENGLISH.waiting, "English again")


def test_a_full_queue_is_told_in_a_sentence_and_later_it_works(browser, tmp_path, portrait):
    with running_page(SlowEditor(4), tmp_path / "server", PageConfig(queue_size=1)) as url:
        client = Client(url, verbose=False, download_files=False)
        visitor = Browser(browser.driver, url, browser.downloads)
        visitor.open()
        others = [client.submit(photo=handle_file(portrait), api_name="/estimate_age")]
        visitor.until(lambda: others[0].status().code == Status.PROCESSING, "a first visitor at work")
        others.append(client.submit(photo=handle_file(portrait), api_name="/estimate_age"))
        visitor.until(lambda: others[1].status().code == Status.IN_QUEUE, "a second one waiting")
        visitor.upload(portrait)
        visitor.until(lambda: visitor.status() == ENGLISH.busy, "the sentence about many people")
        assert [other.result() for other in others] == [[33.0], [33.0]]
        visitor.upload(portrait)
        visitor.wait_for_ages()
    browser.open()


def test_the_language_changes_and_a_photo_says_that_it_waits_while_others_are_served(browser, tmp_path, portrait):
    editor = HeldEditor()
    with running_page(editor, tmp_path / "server") as url:
        client = Client(url, verbose=False, download_files=False)
        visitor = Browser(browser.driver, url, browser.downloads)
        visitor.open()
        other = client.submit(photo=handle_file(portrait), api_name="/estimate_age")
        visitor.until(lambda: other.status().code == Status.PROCESSING, "a first visitor at work")
        visitor.speak("vi")
        visitor.until(lambda: visitor.status() == VIETNAMESE.waiting, "Vietnamese at once")
        visitor.upload(portrait)
        visitor.until(lambda: visitor.status() == VIETNAMESE.queued, "the sentence about waiting")
        visitor.speak("en")
        visitor.until(lambda: visitor.status() == ENGLISH.queued, "the same in English")
        assert not other.done()
        editor.go_on.set()
        visitor.wait_for_ages()
        visitor.until(lambda: ENGLISH.ages_heading in visitor.get("#ages h2").text, "English again")
    browser.open()


@pytest.mark.parametrize("name", ["clip.mp4", "letter.pdf", "notes"])
def test_what_is_no_photo_is_told_by_the_server_however_it_comes(browser, tmp_path, name):
    for button in browser.all("#new-photo"):
        browser.click(button)
    browser.until(lambda: browser.status() == ENGLISH.waiting or browser.open() is None, "the empty page")
    browser.driver.execute_script(DROP, base64.b64encode(b"no photo at all").decode(), name)
    browser.until(lambda: browser.status().startswith("The file is not a photo"), "the sentence about the file")
    (tmp_path / name).write_bytes(b"no photo at all")
    browser.open()
    browser.upload(tmp_path / name)
    browser.until(lambda: browser.status().startswith("The file is not a photo"), "the same sentence")
    assert not browser.all(".toast-body")


def test_trouble_is_told_in_a_sentence_and_the_next_photo_works(browser, tmp_path, portrait):
    browser.upload(draw_photo(tmp_path / "empty.png", (300, 200)))
    browser.until(lambda: browser.status() == ENGLISH.no_face, "the sentence about no face")
    assert not browser.all("#ages") and not browser.all("#age")
    (tmp_path / "note.jpg").write_text("this is text")
    browser.upload(tmp_path / "note.jpg")
    browser.until(lambda: browser.status().startswith("The file is not a photo"), "the sentence about the file")
    assert "Traceback" not in browser.driver.page_source
    browser.upload(portrait)
    browser.wait_for_ages()


def test_the_page_loads_nothing_from_elsewhere(browser):
    browser.driver.get_log("performance")
    browser.open()
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert any(url.startswith(browser.address) for url in urls)
    assert {url for url in urls if not url.startswith((browser.address, "data:", "blob:", "chrome:"))} == set()


def test_on_a_phone_nothing_sticks_out_and_everything_has_a_name(phone, portrait):
    phone.upload(portrait)
    buttons = phone.wait_for_ages()
    scroll_width = phone.driver.execute_script("return document.documentElement.scrollWidth")
    assert scroll_width == phone.driver.execute_script("return window.innerWidth") == 360
    for button in buttons:
        assert button.rect["x"] >= 0 and button.rect["x"] + button.rect["width"] <= 360
        assert button.rect["width"] >= 48  # px: large enough for a thumb
    nameless = phone.driver.execute_script(
        "return [...document.querySelectorAll('#ages figure img, button, input')].filter("
        "e => e.checkVisibility() && !(e.alt || e.ariaLabel || e.title || e.textContent.trim() || e.labels?.length)"
        ").map(e => e.outerHTML)"
    )
    assert nameless == []
    phone.click(buttons[3])
    assert phone.until(lambda: phone.after_is(FACE, grey_of(55)), "55 in the photo")
    assert [tab.text for tab in phone.all("#tabs [role=tab]")] == [
        ENGLISH.one_photo,
        ENGLISH.many_photos,
        ENGLISH.video,
    ]


def test_on_a_phone_a_finger_on_the_photo_scrolls_the_page(phone, portrait):
    phone.upload(portrait)
    phone.wait_for_ages()
    phone.driver.execute_script("document.querySelector('#compare').scrollIntoView({block: 'center'})")
    before = phone.driver.execute_script("return window.scrollY")
    left, top = phone.driver.execute_script(
        "const box = document.querySelector('#compare .content').getBoundingClientRect(); return [box.x, box.y]"
    )

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y} for x, y in points]
        phone.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (left + 40, top + 200))
    for moved in range(20, 201, 20):
        touch("touchMove", (left + 40, top + 200 - moved))
    touch("touchEnd")
    assert phone.until(lambda: phone.driver.execute_script("return window.scrollY") >= before + 100, "a scrolled page")
    phone.driver.execute_script("window.scrollTo(0, 0)")


NAME_OF = """
const element = arguments[0];
return element.dataset.value || element.closest('[id]:not([id^=component]):not([id^=range])')?.id;
"""


def test_the_keyboard_reaches_everything(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()
    browser.driver.execute_script("document.body.tabIndex = -1; document.body.focus()")
    reached = set()
    for _ in range(45):
        webdriver.ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        element = browser.driver.switch_to.active_element
        reached.add(browser.driver.execute_script(NAME_OF, element))
    assert {"language", "age", "25", "65", "get-photo", "get-grid", "new-photo", "film-panel", "fine-tuning"} <= reached


def test_the_age_row_can_be_used_with_the_keyboard(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()[2].send_keys(Keys.ENTER)
    assert browser.until(lambda: browser.after_is(FACE, grey_of(45)), "45 in the photo")
