"""The frame of the pages that validation and tuning write: one style sheet, nothing loaded from elsewhere."""

from html import escape

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2.2rem}a{color:#0b5cad}
p.sub{color:#5b6673;margin-top:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid #dde3ea;text-align:left;
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.mark{font-weight:600;white-space:nowrap}.critical{color:#b3261e}.warning{color:#8a5a00}.held{color:#1e6b3a}
"""


def page(title: str, body: str, style: str = "") -> str:
    """An HTML page; ``body`` is HTML, ``title`` is text."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{STYLE}{style}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
