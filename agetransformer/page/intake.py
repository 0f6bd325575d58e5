"""What the browser is told about photos: formats it does not know itself, and dropping one anywhere on the page."""

# Browsers know no type for some photos' endings, and gradio then says that they are no images.
_TYPES = {
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
    "tif": "image/tiff",
    "tiff": "image/tiff",
}

HEAD = f"""<script>
(() => {{
  const types = {_TYPES};
  const ending = (name) => name.toLowerCase().split('.').pop();
  const typed = (file) =>
    file.type || !types[ending(file.name)] ? file : new File([file], file.name, {{ type: types[ending(file.name)] }});
  const accept = 'image/*,' + Object.keys(types).map((name) => '.' + name).join(',');
  new MutationObserver(() => {{
    for (const input of document.querySelectorAll('#photo input[type=file]'))
      if (input.accept !== accept) input.accept = accept;
  }}).observe(document, {{ childList: true, subtree: true }});
  const photo = () => {{
    const input = document.querySelector('#photo input[type=file]');
    return input && document.querySelector('#start')?.offsetParent ? input : null;
  }};
  window.addEventListener('dragover', (event) => {{
    if (photo() && event.dataTransfer?.types.includes('Files')) event.preventDefault();
  }});
  window.addEventListener('drop', (event) => {{
    const input = photo();
    const file = event.dataTransfer?.files[0];
    if (!input || !file) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const given = new DataTransfer();
    given.items.add(typed(file));
    input.files = given.files;
    input.dispatchEvent(new Event('change', {{ bubbles: true }}));
  }}, true);
}})();
</script>"""
