"""How the documentation is built: `make docs`."""

from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

from heracles._version import __version__

project = "Heracles"
author = "The Heracles authors"
copyright = "2026, The Heracles authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
html_theme = "furo"
html_title = "Heracles"

# Links to a heading, as GitHub makes them, work in the site too.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "fieldlist"]
# `console` blocks: the button copies the commands alone.
copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# What only type checkers meet.
nitpick_ignore = [
    ("py:class", f"heracles.{name}")
    for name in (
        "function.JobDecorator",
        "function.SyncFunctionDispatch",
        "queue.envelopes.AsyncJob",
        "queue.envelopes.ThreadJob",
        "transport_options.ConnectedOptions",
        "transport_options.TransportOptions",
    )
]
# Types of the standard library and of type variables have no page here to link to.
nitpick_ignore_regex = [("py:.*", r"(?!heracles\.).*"), ("py:.*", r"heracles\..*\b[A-Z]$")]


def read_sections(app: Sphinx, what: Any, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Understand "Raises:" and its like, as the extension napoleon does."""
    # That one would take what stands before a colon in an attribute's docstring for its type.
    if what not in ("attribute", "data", "property"):
        config: Any = Config(napoleon_use_ivar=True)
        lines[:] = GoogleDocstring(lines, config, app, what, name, value, options).lines()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", read_sections)
