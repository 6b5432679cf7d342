/* A run's page: figures that are drawn when the reader scrolls to them, or when the browser has
   nothing else to do; one filter for all figures and the table; tables that sort. A figure's data
   come as a script, which a page opened from a disk may load. Nothing is evaluated, so the page's
   strict policy holds. */
"use strict";

const report = (() => {
  const contents = {};
  const shown = new Map(); // figure's element → the name of what it shows
  let visible = null; // numbers of the trials that the filter lets through; null: all

  const load = (source) =>
    new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = source;
      script.onload = done;
      script.onerror = () => failed(new Error(source + " is missing"));
      document.head.append(script);
    });

  let plotly = null;
  const script = () => load(document.currentSource + "plotly.min.js");
  const library = async () => window.Plotly ?? (plotly ??= script());

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function layout(own, box) {
    const [line, muted] = [color("--line"), color("--muted")];
    const colors = { gridcolor: line, zerolinecolor: line, linecolor: muted };
    const axis = { ...colors, automargin: true, separatethousands: true };
    const narrow = box.clientWidth < 560;
    const merged = {
      ...own,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: color("--ink") },
      margin: { l: 55, r: 15, t: 15, b: 50 },
      legend: {
        orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
        font: { size: narrow ? 11 : 12 },
      },
      hoverlabel: { align: "left" },
      autosize: true,
    };
    for (const name of ["xaxis", "yaxis"]) {
      const powers = { exponentformat: "power", nticks: narrow ? 3 : 6 };
      const scale = own[name]?.type === "log" ? powers : { exponentformat: "none" };
      merged[name] = { ...axis, ...scale, ...(own[name] ?? {}) };
      if (narrow) merged[name].tickangle = "auto";
    }
    return merged;
  }

  // A trace without the points of the trials that the filter hides: lines break, bars are empty.
  function filtered(trace) {
    const trials = trace.meta?.trials;
    if (!visible || !trials) return trace;
    const gone = trials.map((number) => !visible.has(number));
    const blank = (values) => values.map((value, place) => (gone[place] ? null : value));
    const values = trace.orientation === "h" ? "x" : "y";
    return { ...trace, [values]: blank(trace[values]) };
  }

  async function draw(box) {
    const name = box.dataset.chosen;
    try {
      await library();
      if (!contents[name]) await load(name + ".js");
    } catch (error) {
      box.textContent = "This figure cannot be shown: " + error.message + ".";
      return;
    }
    if (box.dataset.chosen !== name) return; // another variant was chosen meanwhile
    const { data, layout: own } = visibleColors(contents[name]);
    const modeBarButtonsToRemove = ["select2d", "lasso2d"];
    const nothingLeaves = { showSendToCloud: false, plotlyServerURL: "" };
    const looks = { responsive: true, displaylogo: false, modeBarButtonsToRemove };
    await Plotly.react(box, data.map(filtered), layout(own, box), { ...looks, ...nothingLeaves });
    if (!shown.has(box)) box.on("plotly_click", ({ points }) => openTrial(points[0]));
    shown.set(box, name);
    box.classList.add("drawn");
  }

  // A click on a trial's mark opens its page.
  function openTrial({ data, pointIndex }) {
    const trial = data.meta?.trials?.[pointIndex];
    if (trial === undefined || !document.querySelector("#trials a")) return;
    location.href = `trials/${String(trial).padStart(4, "0")}.html`;
  }

  // The colour of what is best is too dark on a dark page.
  const visibleColors = (content) =>
    JSON.parse(JSON.stringify(content).replaceAll('"#0072b2"', JSON.stringify(color("--best"))));

  // Paper is narrower than the window, and white.
  function fitPaper() {
    const colors = { "font.color": "#222", "xaxis.gridcolor": "#ddd", "yaxis.gridcolor": "#ddd" };
    for (const box of shown.keys()) {
      const width = box.parentElement.classList.contains("whole") ? 660 : 320;
      const sizes = { "font.size": 9, "legend.font.size": 7, "xaxis.tickfont.size": 7 };
      Plotly.relayout(box, { width, height: 270, ...sizes, ...colors });
    }
  }

  function choose(box, name) {
    box.dataset.chosen = name;
    return draw(box);
  }

  function figures() {
    const seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries.filter((one) => one.isIntersecting)) {
          seen.unobserve(entry.target);
          draw(entry.target);
        }
      },
      { rootMargin: "400px" },
    );
    for (const box of document.querySelectorAll(".plot")) {
      seen.observe(box);
      const select = document.querySelector(`select[data-for="${box.id}"]`);
      select?.addEventListener("change", () => choose(box, select.value));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    addEventListener("beforeprint", fitPaper);
    addEventListener("afterprint", redraw);
    drawWhenIdle([...document.querySelectorAll(".plot")]);
  }

  // Figures that nobody scrolled to, one after the other: a page that is printed shows them all.
  function drawWhenIdle([box, ...others]) {
    if (!box) return;
    const next = () => drawWhenIdle(others);
    const whenIdle = window.requestIdleCallback ?? setTimeout;
    whenIdle(() => (shown.has(box) ? next() : draw(box).then(next)));
  }

  const redraw = () => Promise.all([...shown.keys()].map(draw));

  // The filter: the best x %, the outcome, a range of a setting, words. It reads the table's rows.
  function filter() {
    const form = document.querySelector("#filter");
    const table = document.querySelector("#trials");
    if (!form || !table) return;
    const rows = [...table.tBodies[0].rows];
    const rank = (row) => Number(row.dataset.rank); // a fraction; 0 if it has none
    const measured = rows.filter(rank).length;
    const said = document.querySelector("#filtered");
    const heads = [...table.tHead.rows[0].cells];
    const column = new Map(heads.map((cell, place) => [cell.dataset.name, place]));
    const value = (row, name) => row.cells[column.get(name)]?.dataset.value;

    function passes(row) {
      const best = Number(form.elements.best.value);
      const most = Math.max(1, Math.floor((measured * best) / 100)); // trials that pass
      if (best < 100 && !(rank(row) && Math.round(rank(row) * measured) <= most)) return false;
      const outcome = form.elements.outcome.value;
      if (outcome && row.dataset.outcome !== outcome) return false;
      const setting = form.elements.setting.value;
      if (setting) {
        const own = value(row, setting);
        const [low, high] = [form.elements.low.value, form.elements.high.value];
        if ((low || high) && (own === undefined || own === "")) return false;
        if (low && !(Number(own) >= Number(low))) return false;
        if (high && !(Number(own) <= Number(high))) return false;
      }
      const words = form.elements.words.value.trim().toLowerCase();
      return !words || row.textContent.toLowerCase().includes(words);
    }

    function apply() {
      for (const name of ["low", "high"]) {
        form.elements[name].disabled = form.elements.setting.value === "";
      }
      const through = rows.filter(passes);
      const all = through.length === rows.length;
      for (const row of rows) row.hidden = true;
      for (const row of through) row.hidden = false;
      visible = all ? null : new Set(through.map((row) => Number(row.dataset.trial)));
      form.elements.percent.value = form.elements.best.value + "%";
      const trials = rows.length === 1 ? "1 trial" : `${rows.length} trials`;
      said.textContent = `${all ? "all" : `${through.length} of`} ${trials}`;
      return redraw();
    }

    // A page that reloads itself keeps its filter.
    const reloads = document.querySelector("meta[http-equiv=refresh]") !== null;
    const kept = `filter ${location.pathname}`;
    const fields = () => [...form.elements].filter((one) => one.name && one.name !== "percent");
    if (reloads) {
      const values = JSON.parse(sessionStorage.getItem(kept) ?? "{}");
      for (const field of fields()) field.value = values[field.name] ?? field.value;
      addEventListener("pagehide", () => {
        const entries = fields().map((field) => [field.name, field.value]);
        sessionStorage.setItem(kept, JSON.stringify(Object.fromEntries(entries)));
      });
    }

    let waiting;
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(apply, 150);
    });
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    apply();
  }

  function sorting() {
    for (const table of document.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((cell, place) => {
        const button = document.createElement("button");
        button.type = "button";
        if (!cell.textContent.trim()) return;
        button.append(...cell.childNodes);
        cell.append(button);
        button.addEventListener("click", () => sort(table, cell, place));
      });
    }
  }

  function sort(table, cell, place) {
    const order = cell.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const shown = (cell) => cell.textContent.trim().replace("—", "");
    const key = (row) => row.cells[place].dataset.value ?? shown(row.cells[place]);
    const number = (text) => Number(text.replaceAll(",", "").replace(/%$/, ""));
    const compare = (a, b) => {
      const [one, two] = [key(a), key(b)];
      if (one === "" || two === "") return (one === "") - (two === ""); // last in both orders
      const [x, y] = [number(one), number(two)];
      const words = Number.isNaN(x) || Number.isNaN(y);
      return sign * (words ? one.localeCompare(two, undefined, { numeric: true }) : x - y);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }

  // Two trials side by side: the columns of the table in which they differ.
  function comparing() {
    const [form, table] = [document.querySelector("#two"), document.querySelector("#trials")];
    const place = document.querySelector("#difference");
    if (!form || !table) return;
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const row = (number) => table.querySelector(`tr[data-trial="${number}"]`);
    const line = (tag, words) => {
      const made = document.createElement("tr");
      for (const word of words) {
        made.append(Object.assign(document.createElement(tag), { textContent: word }));
      }
      return made;
    };
    form.addEventListener("input", () => {
      const numbers = [form.elements.one.value, form.elements.other.value];
      place.replaceChildren();
      if (numbers.includes("")) return;
      const [one, other] = numbers.map((number) =>
        [...row(number).cells].map((cell) => cell.textContent.trim()),
      );
      const both = document.createElement("table");
      both.createTHead().append(line("th", ["", ...numbers.map((number) => `trial ${number}`)]));
      const columns = [...heads.keys()].slice(1).filter((at) => one[at] !== other[at]);
      const rows = columns.map((at) => line("td", [heads[at], one[at], other[at]]));
      both.createTBody().append(...rows);
      place.append(rows.length ? both : "They do not differ in any column of the table.");
    });
    form.hidden = false;
  }

  document.currentSource = document.currentScript.src.replace(/[^/]*$/, "");
  document.addEventListener("DOMContentLoaded", () => {
    document.documentElement.classList.add("scripted");
    sorting();
    filter();
    comparing();
    figures();
    unfold();
  });
  addEventListener("hashchange", unfold);

  // A link to a check shows it, also inside others that are folded.
  function unfold() {
    const target = document.getElementById(location.hash.slice(1));
    for (let one = target; one; one = one.parentElement) {
      if (one.tagName === "DETAILS") one.open = true;
    }
    target?.scrollIntoView();
  }

  return {
    figure: (name, content) => {
      contents[name] = content;
    },
  };
})();
