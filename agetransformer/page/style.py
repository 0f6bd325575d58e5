"""The look of the page. System fonts only: nothing is loaded from anywhere else."""

import gradio as gr

FRAME = "#ffd400"  # the yellow frame of the paper's figure 1
FRAME_EDGE = "#7a6500"  # yellow alone is hard to see on a light page


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
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        slider_color="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
    )


CSS = f"""
.gradio-container {{ width: 100% !important; max-width: 1120px !important; margin: 0 auto !important; }}
.gradio-container .main {{ width: 100%; }}
.hint {{ color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 0; }}
.narrow, #start {{ max-width: 640px; margin: 0 auto; width: 100%; }}
:focus-visible {{ outline: 3px solid var(--primary-600); outline-offset: 2px; }}

#top {{ justify-content: flex-end; position: relative; z-index: 2; }} /* the title reaches below it */
#language {{ min-width: 0; flex: none; width: auto; border: 0; padding: 0; background: none; }}
#language label {{ padding: 0.2rem 0.6rem; border: 0; background: none; box-shadow: none; font-size: 0.85rem; }}
#language label.selected {{ background: var(--neutral-200); color: var(--body-text-color); }}
.dark #language label.selected {{ background: var(--neutral-800); }}
#language label span {{ margin: 0; }}
#language input {{ position: absolute; opacity: 0; }}
#language label:focus-within {{ outline: 3px solid var(--primary-600); }}
#header {{ text-align: center; padding: 0 0 0.25rem; margin-top: -2.2rem; }}
#header h1 {{ font-size: clamp(1.7rem, 4vw, 2.4rem); font-weight: 700; letter-spacing: -0.02em; margin: 0; }}
#header p {{ color: var(--body-text-color-subdued); font-size: 1.05rem; margin: 0.3rem 0 0; }}
#tabs .tab-container {{ justify-content: center; }}
#tabs button[role=tab].selected {{ color: var(--primary-700); border-color: var(--primary-700); }}
.dark #tabs button[role=tab].selected {{ color: var(--primary-300); border-color: var(--primary-300); }}
footer .divider {{ display: none; }}

#status, .status {{ text-align: center; min-height: 1.6rem; padding: 0.25rem 0; }}
#status b {{ font-size: 1.15em; }}
.trouble {{
  color: #991b1b; background: #fef2f2; border: 1px solid #fecaca; border-radius: 12px; padding: 0.6rem 1rem;
  max-width: 640px; margin: 0 auto;
}}
.dark .trouble {{ color: #fecaca; background: #450a0a; border-color: #7f1d1d; }}
.status ul {{ text-align: left; margin: 0.5rem 0 0 1.25rem; list-style: disc; }}
#photo:has(.image-frame img)::after {{
  content: ""; pointer-events: none;
  position: absolute; left: calc(50% - 1.25rem); top: calc(45% - 1.25rem); width: 2.5rem; height: 2.5rem;
  border: 4px solid var(--border-color-primary); border-top-color: var(--primary-600); border-radius: 50%;
  animation: turning 0.8s linear infinite;
}}
#photo .icon-button-wrapper {{ display: none; }} /* its X would take the photo away and let the work go on */
@keyframes turning {{ to {{ transform: rotate(360deg); }} }}

#photo .source-selection {{ gap: 1.25rem; height: 3.25rem; }}
#photo .source-selection .icon {{ width: 1.75rem; height: 1.75rem; color: var(--body-text-color-subdued); }}
#photo .source-selection .icon:hover, #photo .source-selection .icon.selected {{ color: var(--primary-600); }}
#photo {{ position: relative; }}
/* Browsers cannot show every photo; the page itself shows it as soon as it is read. */
#photo .image-frame img {{ opacity: 0; }}
#samples {{ max-width: 640px; margin: 0 auto; width: 100%; text-align: center; }}
#samples p {{ color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 0; }}
#samples .gallery {{ justify-content: center; }}
#samples .label {{ display: none; }}
#samples .gallery-item {{ border-radius: 12px; overflow: hidden; width: 88px; height: 88px; padding: 0; }}
#samples .gallery-item .container, #samples img {{
  width: 100% !important; height: 100% !important; max-width: none; max-height: none; object-fit: cover; border: 0;
}}
#get-grid {{ align-self: center; width: auto; flex: none; }}

#result {{
  display: grid; gap: 1rem; align-items: start; grid-template: "stage controls" auto "strip controls" 1fr / 1fr 300px;
}}
#result > * {{ min-width: 0 !important; width: 100%; }}
#stage {{ grid-area: stage; }}
#strip {{ grid-area: strip; }}
#controls {{ grid-area: controls; gap: 0.75rem; }}
#film video, #film img, #clip-result video {{ width: 100%; border-radius: 12px; display: block; }}

.faces h2 {{ font-size: 1rem; font-weight: 600; margin: 0 0 0.1rem; }}
.faces .hint {{ margin: 0 0 0.6rem; }}
.faces .row {{ display: grid; gap: 0.75rem; grid-template-columns: repeat(6, minmax(0, 1fr)); align-items: start; }}
.faces .picker {{ display: flex; margin-top: 0.5rem; gap: 0.6rem; flex-wrap: wrap; }}
.faces button, .faces figure {{ all: unset; box-sizing: border-box; display: block; text-align: center; }}
.faces button {{ cursor: pointer; }}
.faces img, .faces .blank, .faces .all {{
  width: 100%; aspect-ratio: 1; object-fit: cover; display: block; border-radius: 12px; margin: 0;
  box-shadow: 0 0 0 1px var(--border-color-primary); transition: transform 0.12s;
}}
.faces .together img {{ object-fit: contain; background: var(--neutral-200); }}
.dark .faces .together img {{ background: var(--neutral-800); }}
.faces button:hover img {{ transform: translateY(-2px); }}
.faces button:focus-visible img, .faces button:focus-visible .all {{
  outline: 3px solid var(--primary-600); outline-offset: 5px;
}}
.faces .nearest img {{ box-shadow: 0 0 0 4px {FRAME}, 0 0 0 5px {FRAME_EDGE}; }}
.faces .label {{ display: block; margin-top: 0.45rem; font-size: 1rem; font-weight: 600; line-height: 1.25; }}
.faces .label small {{ font-weight: 400; color: var(--body-text-color-subdued); }}
.faces .blank {{ background: var(--neutral-200); animation: waiting 1.2s ease-in-out infinite alternate; }}
.dark .faces .blank {{ background: var(--neutral-800); }}
@keyframes waiting {{ from {{ opacity: 1; }} to {{ opacity: 0.45; }} }}
@media (prefers-reduced-motion: reduce) {{ .faces .blank, #photo:has(.image-frame img)::after {{ animation: none; }} }}
.faces .picker button {{ width: 64px; }}
.faces .picker .all {{
  display: flex; align-items: center; justify-content: center; font-weight: 600; font-size: 0.9rem;
}}
.faces .picker .chosen img, .faces .picker .chosen .all {{ box-shadow: 0 0 0 3px var(--primary-600); }}

@media (max-width: 800px) {{
  #result {{ grid-template: "stage" auto "controls" auto "strip" auto / 1fr; }}
}}
@media (max-width: 640px) {{
  .gradio-container .main, .gradio-container .wrap {{ padding-left: 0.25rem; padding-right: 0.25rem; }}
  #header {{ margin-top: -0.5rem; }}
  #tabs .tab-container button {{ padding: 0 0.5rem; }} /* all three fit 360 px, or gradio hides some behind dots */
  #photo {{ height: 270px !important; }}
  .faces .row {{ grid-template-columns: repeat(3, minmax(0, 1fr)); }}
}}
"""
