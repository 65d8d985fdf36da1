"""The documentation site. Build it with `python -m sphinx -W --keep-going docs build/site`.

The build needs no network and no deep-learning framework, and every warning is an error.
"""

import sys
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.ext.autodoc import mock

sys.path.insert(0, str(Path(__file__).parent))

project = "invdecay"
author = "invdecay developers"
copyright = f"2026, {author}"
release = version = version_of("invdecay")
REPOSITORY = "https://github.com/invdecay/invdecay"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx_click",
    "sphinx_copybutton",
    "site_extension",
]
exclude_patterns = ["README.md"]

# ---------------------------------------------------------------- Markdown and links

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
extlinks = {"repo": (f"{REPOSITORY}/blob/main/%s", "%s")}
site_repository = f"{REPOSITORY}/blob/main"

# An inventory of the names that our docstrings mention, because a build must not need a network.
site_elsewhere = {
    "numpy": (
        "https://numpy.org/doc/stable/",
        [
            "numpy.arange py:function 1 reference/generated/numpy.arange.html#$ -",
            "numpy.errstate py:class 1 reference/generated/numpy.errstate.html#$ -",
            "numpy.load py:function 1 reference/generated/numpy.load.html#$ -",
            "numpy.ndarray py:class 1 reference/generated/numpy.ndarray.html#$ -",
            "numpy.save py:function 1 reference/generated/numpy.save.html#$ -",
            "numpy.show_config py:function 1 reference/generated/numpy.show_config.html#$ -",
            "numpy.ufunc py:class 1 reference/generated/numpy.ufunc.html#$ -",
            "ufuncs.kwargs std:label -1 reference/ufuncs.html#ufuncs-kwargs ufunc keywords",
        ],
    ),
    "python": (
        "https://docs.python.org/3/",
        ["range py:class 1 library/stdtypes.html#$ -"],
    ),
}

# ---------------------------------------------------------------- docstrings

smartquotes = False  # they turn the two hyphens of an option into a dash
default_role = "py:obj"  # single backticks in a docstring: a link where the name is known
numpydoc_show_class_members = False  # the reference names the members that it shows
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types, and signatures stay short

# The adapters are documented without their frameworks, which take gigabytes and import slowly.
# Plain classes stand in for base classes, so that a signature is our own, and a decorator that
# does nothing for theirs.
stand_ins = mock(["dask", "distributed", "keras", "torch", "zarr"])
stand_ins.__enter__()
for base in "keras.optimizers.schedules.InverseTimeDecay", "torch.optim.lr_scheduler.LRScheduler":
    module, name = base.rsplit(".", 1)
    setattr(import_module(module), name, type(name, (), {"__module__": module}))
saving = import_module("keras.saving")
saving.register_keras_serializable = lambda **_: lambda decorated: decorated

# A role in our pages must find its name. Single backticks in a docstring may also hold a parameter.
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", r"(?!invdecay\.).*")]

python_maximum_signature_line_length = 60
toc_object_entries_show_parents = "hide"

# ---------------------------------------------------------------- looks

html_theme = "pydata_sphinx_theme"
html_title = "invdecay"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_logo = "_static/logo.svg"
templates_path = ["_templates"]
html_sidebars = {"**": ["site-navigation.html"]}
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "invdecay", "alt_text": "invdecay, home"},
    "icon_links": [{"name": "Repository", "url": REPOSITORY, "icon": "fa-brands fa-github"}],
    "navbar_center": [],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_math_renderer = "mathml"
