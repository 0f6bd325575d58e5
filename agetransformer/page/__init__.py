"""The web page's parts: texts, look, pictures and what happens between them. `app.py` wires them together."""
