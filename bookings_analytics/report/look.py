"""How a report looks, on a screen, on a phone and on paper, and the script that draws its charts."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #262626; background: #fff; margin: 0 }
main { max-width: 48rem; margin: 1.5rem auto 3rem; padding: 0 1rem }
h1, h2, h3 { line-height: 1.25; overflow-wrap: break-word }
h1 { font-size: 1.7rem; margin: 0 0 0.5rem }
h2 { font-size: 1.35rem; margin: 3rem 0 0.5rem }
h3 { font-size: 1rem; margin: 0 }
p, li { max-width: 44rem }
a { color: #00558a }
a:focus-visible { outline: 2px solid #00558a; outline-offset: 2px }
.quiet { color: #5c5c5c; margin: 0 0 0.25rem }
nav ul { padding: 0; list-style: none; margin: 0.5rem 0 }
nav li { padding: 0.15rem 0 }
.numbers { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1px; background: #d4d4d4;
  border: 1px solid #d4d4d4; margin: 1.5rem 0 }
.numbers section { background: #fff; padding: 0.75rem 0.9rem; min-width: 0 }
.numbers h2 { font-size: 0.95rem; font-weight: 600; margin: 0; color: #404040 }
.value { font-size: 2rem; line-height: 1.2; font-weight: 600; margin: 0; font-variant-numeric: tabular-nums }
.detail, .ends { color: #5c5c5c; font-size: 0.8rem; margin: 0 }
.change { margin: 0.3rem 0; font-size: 0.9rem; min-height: 1.35rem }
.good { color: #00643c; font-weight: 600 }
.bad { color: #a33b00; font-weight: 600 }
.weeks { display: block; margin-top: 0.4rem; max-width: 100% }
.weeks polyline { fill: none; stroke: #5c5c5c; stroke-width: 1.5 }
.weeks circle { fill: #262626 }
.cautions { border-left: 4px solid #b07800; padding: 0.1rem 0 0.1rem 1rem; margin: 1.5rem 0 }
.cautions h2 { font-size: 1rem; margin: 0.3rem 0 }
.cautions ul { margin: 0.3rem 0; padding-left: 1.1rem }
figure { margin: 1.75rem 0 0.5rem; min-width: 0 }
figcaption { margin-bottom: 0.5rem }
:is(figcaption, caption) h2 { font-size: 1.1rem; margin: 0 }
figcaption p { color: #5c5c5c; font-size: 0.85rem; margin: 0 }
figure img { max-width: 100%; height: auto; display: block }
.drawn svg { display: block; max-width: none }
.live > img { display: none }
.beside { display: none }
.narrow .beside { display: table }
.narrow .beside.many { display: block }
table { border-collapse: collapse; margin: 1.75rem 0 1rem; font-size: 0.875rem; line-height: 1.4 }
.beside { margin: 0.5rem 0; font-size: 0.8rem }
.beside th[scope=row] { min-width: 0 }
.beside .number { padding-left: 0.75rem }
caption { text-align: left; padding-bottom: 0.4rem }
caption span { color: #5c5c5c; font-size: 0.85rem }
th, td { padding: 0.3rem 1rem 0.3rem 0; border-bottom: 1px solid #e4e4e4; text-align: left; vertical-align: bottom }
th[scope=row] { font-weight: 400; min-width: 8rem }
.number { text-align: right; font-variant-numeric: tabular-nums; padding: 0.3rem 0 0.3rem 1rem }
td.number { white-space: nowrap }
.note { color: #5c5c5c; font-size: 0.8rem; margin-top: -0.5rem }
@media screen and (max-width: 640px) {
  main { margin-top: 1rem }
  .numbers { grid-template-columns: repeat(2, 1fr) }
  .numbers section { padding: 0.6rem }
  .value { font-size: 1.6rem }
  .many, .many tbody, .many tr, .many th, .many td { display: block }
  .many { width: 100% }
  .many thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  .many caption { display: block }
  .many tr { padding: 0.5rem 0; border-bottom: 1px solid #d4d4d4 }
  .many th[scope=row] { font-weight: 600; border: 0; padding: 0; min-width: 0 }
  .many td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: 0.1rem 0 }
  .many td::before { content: attr(data-label); color: #5c5c5c; text-align: left }
}
@media print {
  @page { size: A4; margin: 14mm 15mm }
  body { font-size: 10.5pt }
  main { max-width: none; margin: 0; padding: 0 }
  nav, .drawn, .beside { display: none !important }
  .live > img, figure img { display: block; max-height: 88mm; width: auto }
  figure.tall > img { max-height: 105mm }
  figure.tallest > img { max-height: 150mm }
  h2 { margin-top: 1.6rem }
  figure, .numbers, .cautions, .short, tr, li, caption { break-inside: avoid }
  thead { display: table-header-group }
  h1, h2, h3, figcaption, caption, thead, h2 + p { break-after: avoid }
  tbody tr:nth-child(-n + 2) { break-before: avoid }
  .note { break-before: avoid }
  p { orphans: 3; widows: 3 }
  .many { width: auto }
  table { font-size: 8.5pt }
  th, td { padding-top: 0.15rem; padding-bottom: 0.15rem }
  a { color: inherit; text-decoration: none }
}
"""
# A chart that is wider than its place gets narrower; where its plot would be too narrow to read, it loses its columns
# of numbers, which stand under it then. Its picture stays for paper, and wherever scripts don't run.
DRAW: Final = """
const LEAST = 80, ENOUGH = 220, MENU = 38;
const isColumn = layer => layer.encoding?.x?.value === "width" && layer.mark?.align === "right";
function narrowed(spec, room) {
  const layers = spec.layer?.filter(layer => !isColumn(layer));
  for (const layer of layers ?? []) {
    const x = layer.encoding?.x;
    if (x?.axis) Object.assign(x.axis, {labelOverlap: true, labelSeparation: 8});
    if (layer.mark?.type === "text" && layer.mark.fontSize === 10) layer.mark.fontSize = 9;
    if (layer.encoding?.text?.field === "label" && x?.field === "middle")
      layer.transform = [...(layer.transform ?? []), {filter: "datum.share * width >= 27"}];
    const legend = layer.encoding?.color?.legend;
    if (legend) legend.columns = Math.max(1, Math.floor(room / 125));
  }
  return layers ? {...spec, layer: layers} : spec;
}
async function draw(figure) {
  let {usermeta, ...spec} = JSON.parse(figure.querySelector("script").textContent);
  const room = Math.floor(figure.clientWidth);
  if (!room || figure.drawnFor === room) return;
  figure.drawnFor = room;
  const drawn = figure.querySelector(".drawn") ?? document.createElement("div");
  drawn.className = "drawn";
  if (!drawn.parentNode) figure.querySelector("img").after(drawn);
  const options = {...usermeta.embedOptions};
  if (room < 500) options.actions = false;
  const over = async () => {
    await vegaEmbed(drawn, spec, options);
    return Math.ceil(drawn.querySelector("svg").getBoundingClientRect().width + (options.actions ? MENU : 0) - room);
  };
  let extra = await over();
  if (extra > 0 && spec.width - extra >= ENOUGH) {
    spec.width -= extra;
    extra = await over();
  }
  figure.classList.toggle("narrow", extra > 0);
  if (extra > 0) {
    spec = narrowed(spec, room);
    extra = await over();
    for (let turn = 0; extra > 0 && spec.width > LEAST && turn < 3; turn++) {
      spec.width = Math.max(LEAST, spec.width - extra);
      extra = await over();
    }
    const legends = (spec.layer ?? []).map(layer => layer.encoding?.color?.legend).filter(each => each?.columns > 1);
    if (extra > 0 && legends.length) {
      for (const legend of legends) legend.columns = 1;
      extra = await over();
    }
  }
  figure.classList.add("live");
  figure.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
}
const drawAll = async () => { for (const figure of document.querySelectorAll("figure")) await draw(figure); };
let waiting;
addEventListener("resize", () => {
  if (matchMedia("print").matches) return;
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 200);
});
drawAll();
"""
