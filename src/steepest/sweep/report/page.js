"use strict";
(() => {
  const names = JSON.parse(document.getElementById("names").textContent);
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const chosen = new Map(names.map(name => [name, 0]));
  const axis = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 760px)");
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = {
    responsive: true, displaylogo: false, doubleClick: "autosize",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "autoScale2d", "resetScale2d"]],
  };

  // Plotly reads no CSS variables.
  function themed(given) {
    if (typeof given === "string" && given.startsWith("var(--")) return colour(given.slice(4, -1));
    if (Array.isArray(given)) return given.map(themed);
    if (given && typeof given === "object")
      return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, themed(value)]));
    return given;
  }

  function template() {
    const one = {
      gridcolor: colour("--grid"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true, minorloglabels: "complete",
      exponentformat: "e", minexponent: 5,  // powers of ten in superscripts would be larger than other ticks
      title: { standoff: 8, font: { size: 13, color: colour("--soft") } },
    };  // all ticks have the size of layout.font
    return { layout: {
      paper_bgcolor: colour("--card"), plot_bgcolor: colour("--card"), xaxis: one, yaxis: one,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
      legend: { bgcolor: "rgba(0,0,0,0)", title: { font: { size: 13, color: colour("--soft") } } },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    }, data: { heatmap: [{ colorbar: { title: { font: { size: 13 } } } }] } };
  }

  function figureOf(name) { return figures[names.indexOf(name)][chosen.get(name)]; }

  function draw(name) {
    const place = document.getElementById(name);
    const { data, layout } = themed(figureOf(name));
    document.querySelector(`.finding[data-of="${CSS.escape(name)}"]`).textContent = layout.meta.finding;
    const wanted = axis.get(name);
    layout.template = template();
    layout.autosize = true;
    const parallel = data.length && data[0].type === "parcoords";  // this chart scrolls on a narrow screen
    if (narrow.matches && !parallel) {
      layout.margin = { ...layout.margin, l: Math.min(layout.margin.l, 50), r: layout.margin.r > 20 ? layout.margin.r : 8 };
      for (const trace of data) {
        if (trace.colorbar) trace.showscale = !trace.texttemplate && trace.type === "heatmap";
        if (trace.marker && trace.marker.colorbar) trace.marker.showscale = false;
      }
      if (layout.legend) {  // below the chart, one line per entry that is drawn
        for (const trace of data) if (trace.visible === "legendonly") trace.showlegend = false;
        layout.margin.t = 20;
        const title = layout.legend.title && layout.legend.title.text ? 1 : 0;
        layout.height += 20 * (title + data.filter(trace => trace.showlegend !== false).length);
        layout.legend = { ...layout.legend, orientation: "v", x: 0, y: 0, yref: "container", yanchor: "bottom" };
        layout.margin.b = 60 + 20 * (title + data.filter(trace => trace.showlegend !== false).length);
      }
    }
    if (wanted && layout.meta && layout.meta[wanted]) {
      for (const key of ["dtick", "tickvals", "ticktext"]) delete layout.yaxis[key];
      Object.assign(layout.yaxis, { type: wanted }, layout.meta[wanted]);
    }
    for (const button of document.querySelectorAll(`.switch[data-of="${CSS.escape(name)}"] button`)) {
      button.setAttribute("aria-pressed", String(button.dataset.axis === (layout.yaxis.type || "linear")));
      button.disabled = !(layout.meta && layout.meta[button.dataset.axis]);
    }
    return Plotly.react(place, data, layout, config);
  }

  const missing = new Set();  // charts not drawn yet

  async function drawAll() {
    for (const name of names) missing.add(name);
    for (const name of names) {
      await new Promise(done => setTimeout(done));  // background tabs have no animation frames
      if (missing.delete(name)) await draw(name);
    }
    document.querySelectorAll(".frame > .scroll").forEach(hint);
    document.body.dataset.drawn = String(names.length);
  }

  for (const select of document.querySelectorAll("select[data-of]"))
    select.addEventListener("change", () => { chosen.set(select.dataset.of, select.selectedIndex); draw(select.dataset.of); });
  for (const group of document.querySelectorAll(".switch"))
    group.addEventListener("click", event => {
      if (!event.target.dataset.axis) return;
      axis.set(group.dataset.of, event.target.dataset.axis);
      draw(group.dataset.of);
    });

  const words = new Intl.Collator("en", { numeric: true });
  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const key = row => { const cell = row.cells[column]; return cell.dataset.value ?? cell.textContent; };
    const number = text => (text.trim() === "" ? NaN : Number(text));
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // rows without a value stay at the end
      const [x, y] = [number(a), number(b)];
      return direction * (Number.isNaN(x) || Number.isNaN(y) ? words.compare(a, b) : x - y);
    });
    body.append(...rows.map(([, row]) => row));
  }
  for (const table of document.querySelectorAll("table.sortable"))
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, column, up ? 1 : -1);
      });
    });

  addEventListener("beforeprint", () => {
    for (const name of missing) draw(name);
    missing.clear();
  });
  dark.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  drawAll();
})();
