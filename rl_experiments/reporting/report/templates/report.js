"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const groups = new Map(report.groups.map((group) => [group.label, group]));
  const byId = (id) => document.getElementById(id);
  const names = { iqm: "IQM", median: "Median", mean: "Mean", optimality_gap: "Optimality gap" };
  const base = {
    margin: { l: 60, r: 15, t: 10, b: 45 },
    font: { size: 13, color: "#1b1b1b" },
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    hovermode: "closest",
    legend: { orientation: "h", y: -0.22, yanchor: "top" },
    showlegend: true,
  };
  const axis = (title, more) => ({
    title: { text: title }, gridcolor: "#e8e8e8", zerolinecolor: "#ccc", linecolor: "#888", automargin: true, ...more,
  });
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  const faded = (colour, opacity) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  };

  // The parts of a band between points where there is no interval, each as a closed line.
  const areas = (band) => {
    const x = [], y = [];
    let from = 0;
    const close = (to) => {
      if (to - from > 1) {
        if (x.length) { x.push(null); y.push(null); }
        const there = band.x.slice(from, to);
        x.push(...there, ...there.slice().reverse());
        y.push(...band.high.slice(from, to), ...band.low.slice(from, to).reverse());
      }
      from = to + 1;
    };
    band.x.forEach((_, at) => { if (band.low[at] === null || band.high[at] === null) close(at); });
    close(band.x.length);
    return { x, y };
  };

  const bandTraces = (label, band, withInterval) => {
    const group = groups.get(label), traces = [];
    if (withInterval) {
      const area = areas(band);
      if (area.x.length) {
        traces.push({ ...area, type: "scatter", mode: "lines", fill: "toself", line: { width: 0 }, fillcolor: faded(group.colour, 0.18), legendgroup: label, showlegend: false, hoverinfo: "skip" });
      }
    }
    const text = band.x.map((_, at) => {
      const known = band.low[at] !== null && band.high[at] !== null;
      return `${label}: ${band.value[at]}${known ? ` [${band.low[at]}, ${band.high[at]}]` : ""}, ${band.runs[at]} runs`;
    });
    traces.push({ x: band.x, y: band.value, text, hovertemplate: "%{x}<br>%{text}<extra></extra>", type: "scatter", mode: band.x.length < 2 ? "markers" : "lines", name: label, legendgroup: label, line: { color: group.colour, dash: group.dash, width: 2.5 }, marker: { color: group.colour } });
    return traces;
  };

  const seedTrace = (label, seeds, over) => {
    const x = [], y = [], text = [];
    for (const seed of seeds) {
      if (!seed[over]) continue;
      x.push(...seed[over], null);
      y.push(...seed.value, null);
      seed.value.forEach(() => text.push(`${label}, ${seed.name}`));
      text.push("");
    }
    const colour = faded(groups.get(label).colour, 0.3);
    return { x, y, text, hovertemplate: "%{x}, %{y}<br>%{text}<extra></extra>", type: "scatter", mode: "lines", line: { color: colour, width: 1 }, legendgroup: label, showlegend: false };
  };

  const drawCurve = (figure) => {
    const kinds = report.curves[figure.dataset.environment], kind = byId("kind").value, over = byId("axis").value;
    const content = kinds[kind] || {}, back = [], front = [];
    for (const label of groups.keys()) {
      if (!content[label]) continue;
      if (byId("seeds").checked) back.push(seedTrace(label, content[label].seeds, over));
      const band = content[label].mean[over];
      if (band) front.push(...bandTraces(label, band, byId("bands").checked));
    }
    const title = { evaluation: "return in evaluation", training: "return in training" }[kind] || kind;
    const layout = { ...base, xaxis: axis(over === "steps" ? "environment steps" : "hours", { exponentformat: "SI" }), yaxis: axis(title) };
    if (!front.length) {
      layout.annotations = [{ text: Object.keys(content).length ? `nothing tells the ${over}` : `there is no ${kind}`, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }];
    }
    return Plotly.react(figure.querySelector(".plot"), [...back, ...front], layout, config);
  };

  const drawBands = (id, bands, x, y) => {
    const traces = Object.entries(bands).flatMap(([label, band]) => bandTraces(label, band, byId("bands").checked));
    return Plotly.react(byId(id).querySelector(".plot"), traces, { ...base, xaxis: axis(x), yaxis: axis(y) }, config);
  };

  const errors = (estimates) => ({
    type: "data", symmetric: false, thickness: 6, width: 0,
    array: estimates.map((one) => (one.high === null ? 0 : one.high - one.value)),
    arrayminus: estimates.map((one) => (one.low === null ? 0 : one.value - one.low)),
  });

  const drawAggregates = () => {
    const aggregates = report.overall.aggregates, labels = Object.keys(aggregates), metrics = Object.keys(aggregates[labels[0]]);
    const layout = { ...base, showlegend: false, height: 90 + 34 * labels.length, margin: { l: 20, r: 10, t: 30, b: 30 }, annotations: [] };
    const traces = [];
    metrics.forEach((metric, at) => {
      const n = at ? String(at + 1) : "", width = 1 / metrics.length, left = at * width, right = left + width * 0.88;
      layout[`xaxis${n}`] = axis("", { domain: [left, right], anchor: `y${n}`, nticks: 4 });
      layout[`yaxis${n}`] = axis("", { anchor: `x${n}`, showticklabels: at === 0, autorange: "reversed", type: "category", categoryarray: labels, ...(at ? { matches: "y" } : {}) });
      layout.annotations.push({ text: names[metric], showarrow: false, xref: "paper", yref: "paper", x: (left + right) / 2, y: 1, yanchor: "bottom" });
      labels.forEach((label) => {
        const one = aggregates[label][metric], colour = groups.get(label).colour;
        traces.push({ x: [one.value], y: [label], xaxis: `x${n}`, yaxis: `y${n}`, type: "scatter", mode: "markers", name: label, marker: { color: "#000", symbol: "line-ns-open", size: 14, line: { width: 2 } }, error_x: { ...errors([one]), color: faded(colour, 0.6) }, hovertemplate: `${label}: ${one.value.toPrecision(4)}${one.low === null ? "" : ` [${one.low.toPrecision(4)}, ${one.high.toPrecision(4)}]`}<extra>${names[metric]}</extra>` });
      });
    });
    return Plotly.react(byId("aggregates-figure").querySelector(".plot"), traces, layout, config);
  };

  const drawComparisons = () => {
    const pairs = report.overall.comparisons, labels = pairs.map((pair) => `${pair.x} > ${pair.y}`);
    const colour = report.groups[0].colour;
    const trace = { x: pairs.map((pair) => pair.value), y: labels, type: "scatter", mode: "markers", marker: { color: "#000", symbol: "line-ns-open", size: 14, line: { width: 2 } }, error_x: { ...errors(pairs), color: faded(colour, 0.6) } };
    const layout = { ...base, showlegend: false, height: 90 + 24 * pairs.length, xaxis: axis("P(X > Y)", { range: [-0.02, 1.02] }), yaxis: axis("", { autorange: "reversed", type: "category" }), shapes: [{ type: "line", x0: 0.5, x1: 0.5, y0: 0, y1: 1, yref: "paper", line: { dash: "dot", width: 1 } }] };
    return Plotly.react(byId("comparisons-figure").querySelector(".plot"), [trace], layout, config);
  };

  const overallFigures = {
    "aggregates-figure": drawAggregates,
    "efficiency-figure": () => drawBands("efficiency-figure", report.overall.efficiency, report.overall.in_steps ? "environment steps" : "share of the training", "IQM of normalised returns"),
    "profiles-figure": () => drawBands("profiles-figure", report.overall.profiles, "normalised score τ", "share of runs with score > τ"),
    "comparisons-figure": drawComparisons,
  };

  // CSV files, as RFC 4180 has them.
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  const save = (name, rows) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = `${name.replace(/[^\w.-]+/g, "-")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const curveRows = (environment) => {
    const rows = [["environment", "kind", "group", "line", "over", "x", "value", "low", "high", "runs"]];
    for (const [kind, content] of Object.entries(report.curves[environment])) {
      for (const [label, lines] of Object.entries(content)) {
        for (const [over, band] of Object.entries(lines.mean)) {
          band.x.forEach((x, at) => rows.push([environment, kind, label, "mean", over, x, band.value[at], band.low[at], band.high[at], band.runs[at]]));
        }
        for (const seed of lines.seeds) {
          for (const over of ["steps", "hours"]) {
            if (seed[over]) seed[over].forEach((x, at) => rows.push([environment, kind, label, seed.name, over, x, seed.value[at], null, null, 1]));
          }
        }
      }
    }
    return rows;
  };
  const bandRows = (bands) => [
    ["group", "x", "value", "low", "high", "runs"],
    ...Object.entries(bands).flatMap(([label, band]) => band.x.map((x, at) => [label, x, band.value[at], band.low[at], band.high[at], band.runs[at]])),
  ];
  const figureRows = (id) => {
    const overall = report.overall;
    if (id === "profiles-figure") return bandRows(overall.profiles);
    if (id === "efficiency-figure") return bandRows(overall.efficiency);
    if (id === "comparisons-figure") return [["x", "y", "probability", "low", "high"], ...overall.comparisons.map((pair) => [pair.x, pair.y, pair.value, pair.low, pair.high])];
    if (id === "aggregates-figure") return [["group", "aggregate", "value", "low", "high"], ...Object.entries(overall.aggregates).flatMap(([label, all]) => Object.entries(all).map(([name, one]) => [label, name, one.value, one.low, one.high]))];
    return curveRows(byId(id).dataset.environment);
  };
  const tableRows = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim()));

  const sortTable = (table, column, heading) => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[column], value = cell.dataset.value;
      return value === undefined ? (cell.classList.contains("text") ? cell.textContent.toLowerCase() : null) : Number(value);
    };
    const compare = (one, other) => {
      if (one === null || other === null) return (one === null) - (other === null);  // empty cells stay below
      const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true });
      return ascending ? order : -order;
    };
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([one], [other]) => compare(one, other));
    body.append(...rows.map(([, row]) => row));
  };

  const listen = () => {
    document.querySelectorAll("table").forEach((table) => {
      table.querySelectorAll("thead th").forEach((heading, column) => {
        heading.querySelector("button").addEventListener("click", () => sortTable(table, column, heading));
      });
    });
    document.querySelectorAll("[data-csv]").forEach((button) => {
      button.addEventListener("click", () => {
        const figure = byId(button.dataset.csv);
        save(figure.dataset.environment || button.dataset.csv.replace("-figure", ""), figureRows(button.dataset.csv));
      });
    });
    document.querySelectorAll("[data-csv-table]").forEach((button) => {
      button.addEventListener("click", () => save(button.dataset.csvTable, tableRows(byId(button.dataset.csvTable))));
    });
    ["kind", "axis", "seeds", "bands"].forEach((id) => byId(id).addEventListener("change", drawAll));
  };

  const fillKinds = () => {
    const kinds = new Set(Object.values(report.curves).flatMap((content) => Object.keys(content)));
    for (const kind of kinds) {
      const text = { evaluation: "evaluation return", training: "training return" }[kind] || kind;
      byId("kind").add(new Option(text, kind));
    }
    if (kinds.has("evaluation")) byId("kind").value = "evaluation";
  };

  const drawAll = async () => {
    delete document.body.dataset.drawn;
    const draw = [
      ...Object.entries(overallFigures).filter(([id]) => byId(id)).map(([, make]) => make),
      ...[...document.querySelectorAll("figure.curve")].map((figure) => () => drawCurve(figure)),
    ];
    for (const make of draw) {
      await make();
      await new Promise((next) => setTimeout(next));
    }
    document.body.dataset.drawn = String(draw.length);
  };

  const loadLibrary = async () => {
    const bytes = Uint8Array.from(atob(byId("plotly-gz").textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  fillKinds();
  listen();
  if (typeof DecompressionStream === "undefined") {
    byId("problem").textContent = "This browser is too old for the figures: they need one of 2023 or later. The tables are complete.";
  } else {
    loadLibrary().then(drawAll).catch((error) => { byId("problem").textContent = `The figures could not be drawn: ${error}`; throw error; });
    window.addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot)));
  }
})();
