"""What the browser is told about photos, and what it does with a finger, a key or a file that gradio would not."""

# Browsers know no type for some photos' endings, and gradio then says that they are no images.
_TYPES = {
    "heic": "image/heic",
    "heif": "image/heif",
    "hif": "image/heif",  # as cameras name it
    "avif": "image/avif",
    "tif": "image/tiff",
    "tiff": "image/tiff",
}

# Files reach the photo input by its button, dropped anywhere on the page, or pasted. Gradio refuses what calls itself
# no image with a word of its own; so everything calls itself one, and the server says what it is and what to do.
_FILES = f"""
  const types = {_TYPES};
  const typed = (file) => {{
    const known = types[file.name.toLowerCase().split('.').pop()];
    if (file.type.startsWith('image/') || !(known || file.type || file.name)) return file;
    return new File([file], file.name, {{ type: known || 'image/unknown' }});
  }};
  const accept = 'image/*,' + Object.keys(types).map((name) => '.' + name).join(',');
  const start = () => document.querySelector('#start')?.offsetParent;
  const photo = () => (start() ? document.querySelector('#photo input[type=file]') : null);
  const hand = (input, file) => {{
    const given = new DataTransfer();
    given.items.add(typed(file));
    input.files = given.files;
  }};
  const busy = () => start() && document.querySelector('#photo .image-frame img');  // with the photo that came first
  const put = (input, file) => {{
    hand(input, file);
    input.dispatchEvent(new Event('change', {{ bubbles: true }}));
  }};
  const give = (event, files) => {{
    if (!files?.length) return;
    const input = photo(), another = document.querySelector('#new-photo');
    if (!input && !busy() && !another?.offsetParent) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (busy()) return;
    const [file] = files;  // taken now: the list is empty once the event is over
    if (input) return put(input, file);
    another.click();  // a result is shown: the next photo takes its place
    const end = performance.now() + 10000;
    const wait = () => {{
      if (photo() && !busy()) put(photo(), file);
      else if (performance.now() < end) setTimeout(wait, 50);
    }};
    wait();
  }};
  const holdsFiles = (event) => event.dataTransfer?.types.includes('Files');
  window.addEventListener('change', (event) => {{
    if (!event.target.matches?.('#photo input[type=file]')) return;
    const [file] = event.target.files;
    if (file && typed(file) !== file) hand(event.target, file);
  }}, true);
  window.addEventListener('dragover', (event) => {{ if (holdsFiles(event)) event.preventDefault(); }});
  window.addEventListener('drop', (event) => {{
    if (!holdsFiles(event)) return;
    event.preventDefault();  // or the browser would leave the page for the file
    give(event, event.dataTransfer.files);
  }}, true);
  window.addEventListener('paste', (event) => {{ give(event, event.clipboardData?.files); }}, true);
"""

# gradio's before/after view takes every touch and every turn of the wheel for itself.
_SCROLLING = """
  const scrolls = (event) => {
    const view = event.target.closest?.('#compare .content');
    const zoomed = /scale\\((?!1\\))/.test(view?.querySelector('img')?.style.transform);
    return view && !zoomed && !view.closest('.fullscreen') && !document.fullscreenElement;
  };
  window.addEventListener('touchstart', (event) => {
    if (event.touches.length === 1 && scrolls(event)) event.stopImmediatePropagation();
  }, true);
  window.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && scrolls(event)) event.stopImmediatePropagation();
  }, true);
"""

# gradio's slider says that it was let go by a pointer only.
_KEYS = """
  window.addEventListener('keyup', (event) => {
    if (event.target.matches?.('#strength input[type=range]') && /^(Arrow|Page|Home|End)/.test(event.key))
      event.target.dispatchEvent(new PointerEvent('pointerup', { bubbles: true }));
  });
"""

# What gradio makes without what it needs: the types of photos to choose from, the names of the examples and of the two
# pictures of the before/after view, and which age of the row is the one that it shows.
_MISSING = """
  new MutationObserver(() => {
    for (const input of document.querySelectorAll('#photo input[type=file]'))
      if (input.accept !== accept) input.accept = accept;
    const offer = document.querySelector('#samples p')?.textContent;
    document.querySelectorAll('#samples button.gallery-item').forEach((button, index) => {
      button.setAttribute('aria-label', `${offer} ${index + 1}`);
    });
    const age = document.querySelector('#age input[type=number]'), name = document.querySelector('#age label span');
    const names = [document.querySelector('#ages figcaption')?.innerText, `${name?.innerText.trim()} ${age?.value}`];
    document.querySelectorAll('#compare .content img').forEach((picture, index) => {
      if (picture.alt !== names[index]) picture.alt = names[index] ?? '';
    });
    document.querySelectorAll('#ages button[data-value]').forEach((button) => {
      const shown = String(Number(button.dataset.value) === Number(age?.value));
      if (button.getAttribute('aria-pressed') !== shown) button.setAttribute('aria-pressed', shown);
    });
  }).observe(document, { childList: true, subtree: true, attributeFilter: ['src'] });
"""

HEAD = f"<script>(() => {{{_FILES}{_SCROLLING}{_KEYS}{_MISSING}}})();</script>"
