"""The frame of every figure: transparent, quiet axes, room for what is written at them."""

from typing import Any

from app.ui.charts.arrays import safe

Layout = dict[str, Any]
INK = "rgba(128,128,140,{})"
# More names than these say nothing any more.
MOST_NAMES = 12


def layout(*, x: str = "", y: str = "", legend: bool = False, **more: Any) -> Layout:
    """`x` and `y` are what stands at the axes; `more` replaces or adds."""
    made: Layout = {
        "autosize": True,
        "margin": {"l": 52, "r": 12, "t": 12, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 11},
        "hovermode": "closest",
        "showlegend": legend,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "xaxis": axis(x, showgrid=False),
        "yaxis": axis(y, nticks=6),
        "uirevision": "tile",
    }
    return made | more


def axis(title: str = "", *, log: bool = False, **more: Any) -> Layout:
    made: Layout = {
        "title": {"text": safe(title), "font": {"size": 11}, "standoff": 6},
        "automargin": True,
        "gridcolor": INK.format(0.16),
        "linecolor": INK.format(0.3),
        "zeroline": False,
        "ticks": "",
    }
    return made | ({"type": "log"} if log else {}) | more
