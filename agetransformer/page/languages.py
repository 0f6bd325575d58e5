"""The languages of the page, and which words go where."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from agetransformer.page.english import ENGLISH
from agetransformer.page.texts import Texts
from agetransformer.page.vietnamese import VIETNAMESE

LANGUAGES = {texts.code: texts for texts in (ENGLISH, VIETNAMESE)}

# Of the last visit, else the browser's; English when it is neither.
FIRST_LANGUAGE = f"""() => {{
  const known = {list(LANGUAGES)};
  let wanted = null;
  try {{ wanted = localStorage.getItem('language'); }} catch {{ }}
  const asked = [wanted, ...navigator.languages].map((tag) => (tag || '').split('-')[0]);
  return asked.find((code) => known.includes(code)) || 'en';
}}"""
KEEP_LANGUAGE = """(code) => {
  document.documentElement.lang = code;
  try { localStorage.setItem('language', code); } catch { }
  return code;
}"""


def texts_of(language: str | None) -> Texts:
    """English when the language is unknown."""
    return LANGUAGES.get(language or "", ENGLISH)


@dataclass(frozen=True)
class Word:
    """A sentence and the component's property that shows it."""

    component: gr.blocks.Block
    property: str
    sentence: Callable[[Texts], Any]


class Wording:
    """Collects the words while the page is built; they are English at first."""

    def __init__(self) -> None:
        self._words: list[Word] = []

    def add(self, component: gr.blocks.Block, property: str, sentence: Callable[[Texts], Any]) -> None:
        """Show a sentence in a component that has been made without it."""
        setattr(component, property, sentence(ENGLISH))
        self._words.append(Word(component, property, sentence))

    @property
    def components(self) -> list[gr.blocks.Block]:
        return list({word.component._id: word.component for word in self._words}.values())

    def update(self, language: str) -> list[dict[str, Any]]:
        """One gr.update for each of `components`."""
        texts = texts_of(language)
        properties: dict[int, dict[str, Any]] = {component._id: {} for component in self.components}
        for word in self._words:
            properties[word.component._id][word.property] = word.sentence(texts)
        return [gr.update(**changes) for changes in properties.values()]
