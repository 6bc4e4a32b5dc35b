"""How Sphinx builds the documentation: `make docs`."""

import logging
import os
import tempfile

# Airflow writes its configuration when it is imported, which must not be the reader's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="kimi-docs-")
logging.getLogger("airflow").setLevel(logging.WARNING)

from airflow_provider_kimi import __version__  # noqa: E402

project = "airflow-provider-kimi"
release = __version__
html_title = f"{project} {release}"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3

# Every link has to lead somewhere; only Airflow's own exceptions are described elsewhere.
nitpicky = True
nitpick_ignore = [("py:exc", name) for name in ("AirflowFailException", "AirflowSensorTimeout", "AirflowSkipException")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
