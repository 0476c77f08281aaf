"""The page's style: two palettes with a contrast of at least 4.5, no fonts from elsewhere."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--back:#fbfbf9;--card:#fff;--ink:#1b1f24;--dim:#5b6470;
--line:#dfe3e8;--one:#2463c4;--two:#b4490f;--good:#0f7040;--bad:#b3261e;--tint:#eef4fd}
@media (prefers-color-scheme:dark){:root{--back:#14171b;--card:#1c2127;--ink:#e8ebef;
--dim:#a3adb9;--line:#343b44;--one:#7fb2ff;--two:#ffa366;--good:#5fd08f;--bad:#ff8a80;
--tint:#20304a}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1360px;margin:0 auto;padding:28px 20px 60px;columns:2 520px;column-gap:18px}
header,.tiles,.wide{column-span:all}
header,.tiles,section{margin-bottom:18px}
h1{font-size:30px;line-height:1.2;margin:8px 0 6px;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 12px}
.lead{margin:0;color:var(--dim);max-width:90ch;overflow-wrap:anywhere}
.pill{display:inline-block;margin:0;padding:2px 12px;border-radius:99px;font-weight:600;
border:1.5px solid currentColor}
.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px;display:flex;flex-direction:column}
.tile span,.tile small{color:var(--dim)}
.tile b{font-size:28px;line-height:1.25;font-variant-numeric:tabular-nums}
section{padding:18px 20px;break-inside:avoid}
section.wide{margin-top:18px}
section.long{break-inside:auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);
vertical-align:top;font-weight:400}
thead th{color:var(--dim);font-size:13px;white-space:nowrap}
tbody th{font-weight:600;min-width:12ch;overflow-wrap:anywhere}
td{white-space:nowrap}
td:last-child{white-space:normal;min-width:14ch;overflow-wrap:anywhere}
tr.strong th,tr.strong td{background:var(--tint)}
dl{margin:12px 0 0;display:grid;grid-template-columns:max-content 1fr;gap:3px 16px}
dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
.note{color:var(--dim);font-size:13px;margin:10px 0 0}
figure{margin:0 0 14px}figcaption{color:var(--dim);font-size:13px;overflow-wrap:anywhere}
figure{overflow-x:auto}svg{display:block;width:100%;min-width:340px;height:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .small{font-size:11px;fill:var(--dim)}svg .axisname{fill:var(--dim)}
svg .strong{font-weight:700}
svg .grid{stroke:var(--line)}svg .axis{stroke:var(--dim)}
svg .dot{fill:var(--one);fill-opacity:.35;stroke:var(--one)}
svg .picked{fill:var(--good);fill-opacity:.55;stroke:var(--good);stroke-width:2}
details{margin-top:8px}summary{cursor:pointer;color:var(--one)}
:focus-visible{outline:2px solid var(--one);outline-offset:2px}
@media (max-width:560px){main{padding:16px 12px 40px}section{padding:14px}
dl{grid-template-columns:1fr}dd{margin-bottom:8px}h1{font-size:24px}}
"""
