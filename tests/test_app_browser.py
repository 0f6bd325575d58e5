"""The page in a real browser: what a person does with it, at desktop and phone size."""

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from app_fixtures import SquareEditor, draw_photo, grey_of, running_page
from PIL import Image
from selenium import webdriver
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from agetransformer.page import texts

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
        return WebDriverWait(self.driver, SECONDS, poll_frequency=0.1).until(lambda _: condition(), what)

    def all(self, selector: str) -> list[WebElement]:
        return [element for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]

    def open(self) -> None:
        self.driver.get(self.address)
        self.file_input()

    def file_input(self) -> WebElement:
        inputs = "#photo input[type=file]"
        return self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, inputs), "the place to drop a photo")[0]

    def upload(self, photo: Path) -> None:
        """Take the photo that is there away, as a person would, and choose this one."""
        for button in self.all("#photo button[aria-label*='lear'], #photo button[aria-label*='emove']"):
            self.click(button)
            self.until(lambda: self.status() == texts.WAITING, "the empty page")
        self.file_input().send_keys(str(photo))

    def click(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def status(self) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, "#status [role=status]").text

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
    """A fresh Chromium with the page open: 390 x 844 with touch, or 1280 x 1600."""
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
        metrics = {"width": 390, "height": 844, "pixelRatio": 2.0, "touch": True}
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
    assert [face.get_attribute("aria-pressed") for face in faces] == ["true", "false"]
    browser.click(faces[1])
    browser.until(lambda: "24" in browser.status(), "the other face")
    browser.wait_for_ages()
    small = (slice(310, 490), slice(510, 690))
    assert browser.until(lambda: browser.after_is(small, grey_of(65)), "65 for the other face")
    assert np.abs(browser.pictures()[1][60:340, 60:340].astype(int) - GREEN).max() <= 3


def test_trouble_is_told_in_a_sentence_and_the_next_photo_works(browser, tmp_path, portrait):
    browser.upload(draw_photo(tmp_path / "empty.png", (300, 200)))
    browser.until(lambda: browser.status() == texts.NO_FACE, "the sentence about no face")
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
    assert scroll_width == phone.driver.execute_script("return window.innerWidth") == 390
    for button in buttons:
        assert button.rect["x"] >= 0 and button.rect["x"] + button.rect["width"] <= 390
        assert button.rect["width"] >= 48  # px: large enough for a thumb
    nameless = phone.driver.execute_script(
        "return [...document.querySelectorAll('#ages img, #ages button, #age input, #photo button')].filter("
        "e => !(e.alt || e.ariaLabel || e.title || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
    phone.click(buttons[3])
    assert phone.until(lambda: phone.after_is(FACE, grey_of(55)), "55 in the photo")


def test_the_age_row_can_be_used_with_the_keyboard(browser, portrait):
    browser.upload(portrait)
    browser.wait_for_ages()[2].send_keys(Keys.ENTER)
    assert browser.until(lambda: browser.after_is(FACE, grey_of(45)), "45 in the photo")
