"""Settings of Sphinx."""

from pygments.lexers.data import JsonLexer  # type: ignore[import-untyped]
from sphinx.application import Sphinx

project = html_title = "kling-adapters"
extensions = ["myst_parser"]
# Like those of GitHub, so that links to headings work there and here.
myst_heading_anchors = 4
nitpicky = True
highlight_language = "none"
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["static"]
html_css_files = ["styles.css"]
html_copy_source = False
html_show_sphinx = False
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Colour lines of JSON, too, for which Pygments has no name."""
    app.add_lexer("jsonl", JsonLexer)
