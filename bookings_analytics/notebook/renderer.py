"""What JupyterLab needs to show charts and frames well: offline, in stored notebooks, the same in every run."""

from __future__ import annotations

import struct
from typing import Any, Final

import altair as alt
import polars as pl
import vl_convert

from bookings_analytics.charts._beside import COMPILER
from bookings_analytics.notebook.export import save, with_texts
from bookings_analytics.notebook.tables import ShownTable, table
from bookings_analytics.wording import drawable, interval

__all__ = ["ShownTable", "interval", "save", "setup", "table"]

_RENDERER: Final = "bookings_analytics"
VEGA_LITE: Final = "application/vnd.vegalite.v5+json"  # JupyterLab 4.6 draws this and nothing newer
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
_SCALE: Final = 2  # pixels of the picture for each of the chart's: sharp on a slide
_EMBED_OPTIONS: Final = {
    "renderer": "svg",  # text stays text: sharp at any zoom, open to a screen reader
    "theme": None,  # under a dark JupyterLab, Vega's dark theme would put pale letters on the charts' white ground
    "actions": {"source": False, "compiled": False, "editor": False},  # what is left: save as PNG or SVG
}


def setup() -> None:
    """Set up this notebook to show charts and frames well; call it in the first cell.

    Every Altair chart is then stored in the notebook twice, as Vega-Lite 5, which JupyterLab draws without internet and
    lets the reader point at, and as a picture for everything else, both with the chart's description as alternative
    text. Polars frames show up to 60 rows, all columns, floats with three decimals, and neither shape nor
    types.

    Example:
        >>> import altair as alt
        >>> import polars as pl
        >>> import bookings_analytics as ba
        >>> ba.notebook.setup()
        >>> alt.renderers.active
        'bookings_analytics'

        To take it back:

        >>> _ = alt.renderers.enable("default")
        >>> _ = pl.Config.restore_defaults()
    """
    alt.renderers.register(_RENDERER, _bundle)
    alt.renderers.enable(_RENDERER)
    pl.Config(
        tbl_rows=60,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        fmt_str_lengths=60,
        float_precision=3,
    )


def _bundle(spec: dict[str, Any], **_options: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Turn a chart into what a cell's output holds, and that into its metadata: the interface of Altair's renderers."""
    spec = drawable(spec) | {"$schema": _SCHEMA}
    picture = with_texts(vl_convert.vegalite_to_png(spec, vl_version=COMPILER, scale=_SCALE), spec)
    width, height = struct.unpack_from(">II", picture, 16)  # where the PNG's header has them
    told = spec.get("description", "a chart without a description")
    embedded = spec | {"usermeta": {"embedOptions": _EMBED_OPTIONS} | spec.get("usermeta", {})}
    return (
        {VEGA_LITE: embedded, "image/png": picture, "text/plain": told},
        {"image/png": {"width": width // _SCALE, "height": height // _SCALE, "alt": told}},
    )
