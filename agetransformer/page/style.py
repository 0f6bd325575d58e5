"""The look of the page. System fonts only: nothing is loaded from anywhere else."""

import gradio as gr

FRAME = "#ffd400"  # the yellow frame of the paper's figure 1


def theme() -> gr.themes.Base:
    """Quiet neutrals and one accent, in light and dark."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        text_size=gr.themes.sizes.text_md,
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"),
        font_mono=("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_shadow="none",
        block_border_width="1px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        slider_color="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
    )


CSS = f"""
.gradio-container {{ width: 100% !important; max-width: 1120px !important; margin: 0 auto !important; }}
.gradio-container .main {{ width: 100%; }}
#start {{ max-width: 640px; margin: 0 auto; }}
#header {{ text-align: center; padding: 1.25rem 0 0.25rem; }}
#header h1 {{ font-size: clamp(1.7rem, 4vw, 2.4rem); font-weight: 700; letter-spacing: -0.02em; margin: 0; }}
#header p {{ color: var(--body-text-color-subdued); font-size: 1.05rem; margin: 0.3rem 0 0; }}
#status {{ text-align: center; min-height: 1.6rem; padding: 0.25rem 0; }}
#status .trouble {{ color: var(--error-text-color); }}
#status b {{ font-size: 1.15em; }}

#photo .source-selection {{ gap: 1.25rem; height: 3.25rem; }}
#photo .source-selection .icon {{ width: 1.75rem; height: 1.75rem; color: var(--body-text-color-subdued); }}
#photo .source-selection .icon:hover, #photo .source-selection .icon.selected {{ color: var(--primary-600); }}

.faces h2 {{ font-size: 1rem; font-weight: 600; margin: 0 0 0.1rem; }}
.faces .hint {{ color: var(--body-text-color-subdued); font-size: 0.85rem; margin: 0 0 0.6rem; }}
.faces .row {{ display: grid; gap: 0.75rem; grid-template-columns: repeat(6, minmax(0, 1fr)); align-items: start; }}
.faces .picker {{ display: flex; margin-top: 0.6rem; gap: 0.75rem; flex-wrap: wrap; }}
.faces button, .faces figure {{ all: unset; box-sizing: border-box; display: block; text-align: center; }}
.faces button {{ cursor: pointer; }}
.faces img, .faces .blank {{
  width: 100%; aspect-ratio: 1; object-fit: cover; display: block; border-radius: 12px; margin: 0;
  box-shadow: 0 0 0 1px var(--border-color-primary); transition: transform 0.12s;
}}
.faces button:hover img {{ transform: translateY(-2px); }}
.faces button:focus-visible img {{ outline: 3px solid var(--primary-600); outline-offset: 3px; }}
.faces .nearest img {{ box-shadow: 0 0 0 4px {FRAME}; }}
.faces .label {{ display: block; margin-top: 0.45rem; font-size: 1rem; font-weight: 600; line-height: 1.25; }}
.faces .label small {{ font-weight: 400; color: var(--body-text-color-subdued); }}
.faces .blank {{ background: var(--neutral-200); animation: waiting 1.2s ease-in-out infinite alternate; }}
.dark .faces .blank {{ background: var(--neutral-800); }}
@keyframes waiting {{ from {{ opacity: 1; }} to {{ opacity: 0.45; }} }}
@media (prefers-reduced-motion: reduce) {{ .faces .blank {{ animation: none; }} }}
.faces .picker button {{ width: 72px; }}
.faces .picker .chosen img {{ box-shadow: 0 0 0 3px var(--primary-600); }}

@media (max-width: 640px) {{
  .gradio-container .main, .gradio-container .wrap {{ padding-left: 0.25rem; padding-right: 0.25rem; }}
  #header {{ padding-top: 0.25rem; }}
  #photo {{ height: 270px !important; }}
  .faces .row {{ grid-template-columns: repeat(3, minmax(0, 1fr)); }}
}}
"""
