"""The web page (a Gradio Space): wiring only. Its texts, look and logic are in agetransformer/page/."""

import argparse
import logging
import signal
from pathlib import Path

import gradio as gr

from agetransformer.checkpoint import CheckpointError
from agetransformer.editor import AgeEditor
from agetransformer.faces import MissingLibrariesError
from agetransformer.page import style
from agetransformer.page.clip import add_clip
from agetransformer.page.config import PageConfig
from agetransformer.page.endpoints import add_endpoints
from agetransformer.page.english import ENGLISH
from agetransformer.page.expiry import own_upload_folder, watch_expiry
from agetransformer.page.gpu import lends_gpu
from agetransformer.page.intake import HEAD
from agetransformer.page.languages import FIRST_LANGUAGE, KEEP_LANGUAGE, LANGUAGES, Wording
from agetransformer.page.many_photos import add_many_photos
from agetransformer.page.one_photo import EDITS, add_one_photo
from agetransformer.page.studio import Studio
from agetransformer.page.uploads import refuse_addresses

EXAMPLES = Path(__file__).parent / "assets"


def build_app(editor: AgeEditor, config: PageConfig) -> gr.Blocks:
    """The page and its API endpoints; `launch_app` serves it."""
    studio = Studio(editor, config, gr.utils.get_upload_folder())
    words = Wording()
    with gr.Blocks(title=ENGLISH.title, analytics_enabled=False) as app:
        with gr.Row(elem_id="top"):
            language = gr.Radio(
                [(texts.name, code) for code, texts in LANGUAGES.items()],
                value=ENGLISH.code,
                show_label=False,
                container=False,
                elem_id="language",
            )
            words.add(language, "label", lambda texts: texts.language)
        header = gr.HTML(padding=False, elem_id="header")
        words.add(header, "value", lambda texts: f"<h1>{texts.title}</h1><p>{texts.subtitle}</p>")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab() as tab:
                words.add(tab, "label", lambda texts: texts.one_photo)
                say_after = add_one_photo(studio, words, language, sorted(EXAMPLES.glob("*.jpg")))
            with gr.Tab() as tab:
                words.add(tab, "label", lambda texts: texts.many_photos)
                add_many_photos(studio, words, language)
            with gr.Tab() as tab:
                words.add(tab, "label", lambda texts: texts.video)
                add_clip(studio, words, language)
        with gr.Accordion(open=False) as about_panel:
            words.add(about_panel, "label", lambda texts: texts.about_label)
            about = gr.Markdown()
            words.add(about, "value", lambda texts: texts.about)
        with gr.Accordion(open=False) as api_panel:
            words.add(api_panel, "label", lambda texts: texts.api_label)
            api = gr.Markdown()
            words.add(api, "value", lambda texts: texts.api)
        language.change(None, language, None, js=KEEP_LANGUAGE, api_visibility="private")
        translated = language.change(
            words.update, language, words.components, api_visibility="private", queue=False, show_progress="hidden"
        )
        say_after(translated)
        app.load(None, None, language, js=FIRST_LANGUAGE, api_visibility="private")
        add_endpoints(studio, EDITS)
    refuse_addresses(app)
    watch_expiry(app, config, studio.cache.drop_expired)
    return app.queue(max_size=config.queue_size, default_concurrency_limit=config.concurrency)


def launch_app(app: gr.Blocks, config: PageConfig, open_browser: bool = False) -> str:
    """Serve the page in the background, locked down; returns its address.

    GRADIO_SERVER_NAME and GRADIO_SERVER_PORT change where; by default only this machine is served.
    """
    _, address, _ = app.launch(
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        share=False,
        allowed_paths=[],
        blocked_paths=[str(Path(__file__).parent / "checkpoints")],
        max_file_size=config.upload_megabytes * 1_000_000,
        state_session_capacity=config.sessions_kept,
        strict_cors=True,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        run_history=False,
        footer_links=["api"],
        theme=style.theme(),
        css=style.CSS,
        head=HEAD,
    )
    return address


def main() -> None:
    """Serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--checkpoint", help='other weights: a folder or "owner/repo" (default: those in checkpoints/)')
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every address, and those may hold names of files
    config = PageConfig()
    try:
        editor = AgeEditor.from_pretrained(arguments.checkpoint, device=arguments.device)
    except (ValueError, OSError) as error:  # a checkpoint or a device that is not there; the message says what to do
        parser.error(str(error))
    with own_upload_folder():
        app = build_app(editor, config)

        def stop(*_: object) -> None:
            app.is_running = False  # ends block_thread; an exception could be lost in a callback of another library

        try:
            print(f"Serving at {launch_app(app, config, arguments.open)} (Ctrl+C stops it)", flush=True)
            for name in ("SIGTERM", "SIGHUP"):  # a supervisor's, a closed terminal's: leave nothing of the users behind
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
                    signal.signal(number, stop)
            for photo in sorted(EXAMPLES.glob("*.jpg"))[:1]:
                editor.warm_up(photo, networks=not lends_gpu())  # the page answers meanwhile
            app.block_thread()
        except KeyboardInterrupt:
            print("Stopped while it warmed up.")
        except (CheckpointError, MissingLibrariesError, OSError) as error:  # such as a port that is taken
            parser.error(str(error))
        finally:
            app.is_running = True  # or close would do nothing
            app.close(verbose=False)


if __name__ == "__main__":
    main()
