"""How the page looks beyond Streamlit's theme. Colours are those of Okabe and Ito; signs and words say the same."""

import re

CSS = """
<style>
[data-testid="stMainBlockContainer"] {padding-top: 2.6rem; padding-bottom: 6.5rem; max-width: 1340px}
.lw-title {font-size: 1.9rem; font-weight: 700; margin: 0; line-height: 1.2}
.lw-faint {opacity: .72; font-size: .9rem; overflow-wrap: anywhere}
.lw-note {border-left: 5px solid #E69F00; background: color-mix(in srgb, #E69F00 14%, transparent);
  padding: .45rem .8rem; margin: .25rem 0; border-radius: 4px; overflow-wrap: anywhere}
.lw-good {border-left: 5px solid #009E73; background: color-mix(in srgb, #009E73 12%, transparent);
  padding: .45rem .8rem; margin: .25rem 0; border-radius: 4px}
.lw-error {border-left: 5px solid #C1272D; background: color-mix(in srgb, #C1272D 12%, transparent);
  padding: .45rem .8rem; margin: .25rem 0; border-radius: 4px; overflow-wrap: anywhere}
.lw-h2 {font-size: 1.45rem; font-weight: 700; line-height: 1.25; margin: .4rem 0 .2rem; padding: 0}
.lw-h3 {font-size: 1.02rem; font-weight: 600; margin: .5rem 0 .2rem; padding: 0}
.lw-paper {overflow: auto; max-height: 88vh; border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  border-radius: 6px; background: #fff}
.lw-paper:focus-visible {outline: 3px solid #0072B2}
.lw-ecg {display: block; max-width: none; height: auto}
.lw-fit {min-width: 640px}
.lw-classes {list-style: none; margin: 0 !important; padding: 0 !important}
.lw-classes li {margin: 0 !important; padding: .55rem 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent)}
.lw-line {display: flex; flex-wrap: wrap; gap: .1rem .7rem; align-items: baseline}
.lw-name {font-weight: 600; font-size: 1.06rem}
.lw-percent {margin-left: auto; font-weight: 700; font-size: 1.15rem; font-variant-numeric: tabular-nums}
.lw-bar {position: relative; height: 12px; border-radius: 6px; margin: .35rem 0 .3rem;
  background: color-mix(in srgb, currentColor 13%, transparent)}
.lw-fill {position: absolute; inset: 0 auto 0 0; border-radius: 6px; min-width: 5px}
.lw-yes .lw-fill {background: #D55E00}
.lw-yes.lw-NORM .lw-fill {background: #0072B2}
.lw-no .lw-fill {background: color-mix(in srgb, currentColor 45%, transparent)}
.lw-uncertain .lw-fill {background: repeating-linear-gradient(115deg, #E69F00 0 6px, #8a5f00 6px 9px)}
.lw-mark {position: absolute; top: -4px; bottom: -4px; width: 3px; margin-left: -1.5px; background: currentColor;
  border-radius: 2px}
.lw-verdict {font-weight: 600}
.lw-small .lw-classes li {padding: .25rem 0}
.lw-small .lw-bar {height: 7px; margin: .2rem 0}
.lw-small .lw-name {font-size: .92rem; font-weight: 500}
.lw-small .lw-percent {font-size: .95rem}
.lw-facts {display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem}
.lw-facts, .lw-facts dt, .lw-facts dd {padding: 0 !important; margin: 0 !important}
.lw-facts dt {opacity: .72; font-weight: 400}
.lw-facts dd {overflow-wrap: anywhere}
.lw-scroll {overflow-x: auto}
.lw-table {border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums}
.lw-table th, .lw-table td {text-align: left; padding: .25rem .6rem .25rem 0; white-space: nowrap;
  border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent)}
.lw-foot {position: fixed; left: 0; right: 0; bottom: 0; z-index: 1000; background: #1B1B2B; color: #fff;
  padding: .45rem 1.2rem; font-size: .8rem; line-height: 1.35; text-align: center}
@media (max-width: 640px) {
  .lw-foot {font-size: .68rem; padding: .35rem .6rem}
  [data-testid="stMainBlockContainer"] {padding-left: .8rem; padding-right: .8rem; padding-bottom: 8rem}
  .lw-facts {grid-template-columns: 1fr}
  .lw-facts dt {margin-top: .3rem !important}
}
</style>
"""


_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+.!|$~:-])")


def plain(text: str) -> str:
    """Text that Markdown shows as it is: a file's name may hold a link, or a picture to be fetched."""
    return _SPECIAL.sub(r"\\\1", text)
