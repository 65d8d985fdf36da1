project = "invdecay"
extensions = ["myst_parser"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
exclude_patterns = ["recipes", "api.md", "comparison.md", "inside.md", "speed.md", "contract.md"]
