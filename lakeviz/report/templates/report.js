"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const parse = (element) => JSON.parse(element.textContent);

  // Theme: the system's, until the reader chooses. Storage may be closed to files.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (system.matches ? "dark" : "light");
  try { root.dataset.theme = localStorage.getItem("lakeviz-theme") || ""; } catch { /* private */ }
  if (!root.dataset.theme) delete root.dataset.theme;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("lakeviz-theme", root.dataset.theme); } catch { /* private */ }
    redraw();
  });
  system.addEventListener("change", () => redraw());

  // Contents: open beside the page, folded above it on narrow screens.
  const contents = document.getElementById("contents");
  const wide = matchMedia("(min-width: 62.01rem)");
  const fold = () => { contents.open = wide.matches; };
  fold();
  wide.addEventListener("change", fold);
  all("a", contents).forEach((a) => a.addEventListener("click", () => { if (!wide.matches) contents.open = false; }));

  // Figures: plotly is read when the first one comes near, each figure when it does.
  const templates = parse(document.getElementById("themes"));
  const config = {
    displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };
  const drawn = new Set();
  const loadPlotly = () => {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  };
  // Series that are dim on a dark page have a lighter colour there.
  const specs = new Map();
  const specOf = (canvas) => {
    let text = specs.get(canvas);
    if (theme() === "dark") Object.entries(templates.lighter).forEach(([dim, light]) => { text = text.replaceAll(dim, light); });
    return JSON.parse(text);
  };
  // In a narrow figure few tick labels fit: five at most leave two at least. Titles of axes break at
  // their comma.
  const layoutOf = (layout, width) => {
    const made = { ...layout, template: templates[theme()] };
    if (width > 480) return made;
    Object.keys(made).filter((key) => key.startsWith("xaxis")).forEach((key) => {
      const axis = { ...made[key] };
      if (axis.tickvals === undefined && axis.tickangle === undefined) Object.assign(axis, { nticks: 5, tickangle: 0 });
      if (axis.title?.text) axis.title = { ...axis.title, text: axis.title.text.replace(", ", ",<br>") };
      made[key] = axis;
    });
    return made;
  };
  const draw = (canvas) => {
    loadPlotly();
    specs.set(canvas, canvas.querySelector("script").textContent);
    const spec = specOf(canvas);
    drawn.add(canvas);
    Plotly.newPlot(canvas, spec.data, layoutOf(spec.layout, canvas.clientWidth), config);
  };
  const redraw = () => drawn.forEach((canvas) => {
    const spec = specOf(canvas);
    Plotly.react(canvas, spec.data, layoutOf(spec.layout, canvas.clientWidth), config);
  });
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    watcher.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "300px" });
  addEventListener("load", () => all(".canvas").forEach((canvas) => watcher.observe(canvas)));
  addEventListener("beforeprint", () => all("main details.more:not(.folded)").forEach((fold) => { fold.open = true; }));
  addEventListener("beforeprint", () => all(".canvas").filter((c) => !drawn.has(c)).forEach(draw));

  // Heat maps: opacity and outlines are one setting for the page.
  all(".opacity").forEach((slider) => slider.addEventListener("input", () => {
    root.style.setProperty("--heat", slider.value);
    all(".opacity").forEach((other) => { other.value = slider.value; });
  }));
  all(".outlines").forEach((box) => box.addEventListener("change", () => {
    root.classList.toggle("no-outlines", !box.checked);
    all(".outlines").forEach((other) => { other.checked = box.checked; });
  }));

  all(".heat-on").forEach((box) => box.addEventListener("change", () => {
    root.classList.toggle("no-heat", !box.checked);
    all(".heat-on").forEach((other) => { other.checked = box.checked; });
  }));

  // Films: one frame is shown, by the slider or one after the other.
  all(".film").forEach((film) => {
    const frames = all("li", film);
    const slider = film.querySelector("input");
    const show = (n) => {
      frames.forEach((frame, i) => { frame.hidden = i !== n; });
      slider.value = n;
      film.querySelector("p").textContent = frames[n].dataset.said;
    };
    player(film.querySelector(".play"), slider, show);
    show(0);
  });

  // Tables that do not fit say so, until they are scrolled to their end.
  all(".scroll").forEach((box) => {
    const cue = document.createElement("p");
    cue.className = "cue";
    cue.setAttribute("aria-hidden", "true");
    box.after(cue);
    const look = () => {
      const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 2;
      const below = box.scrollTop + box.clientHeight < box.scrollHeight - 2;
      box.classList.toggle("more-right", right);
      box.classList.toggle("more-below", below);
      cue.textContent = `scroll for more ${[below && "rows ↓", right && "columns →"].filter(Boolean).join(", ")}`;
      cue.hidden = !right && !below;
    };
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
  });

  // Find a category: contents, cards, rows and sections of other names are hidden.
  document.getElementById("find")?.addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    all("[data-find]").forEach((one) => { one.hidden = !one.dataset.find.toLowerCase().includes(wanted); });
  });

  // Tables that sort: the button in a column's head turns the order; what is missing comes last.
  all("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    const heads = all("thead th", table);
    const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [Number(a), Number(b)];
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
    };
    const sort = (column) => {
      const turn = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const rows = [...body.rows].map((row) => ({ row, value: value(row, column) }));
      rows.sort((a, b) => (a.value === "") - (b.value === "") || turn * compare(a.value, b.value));
      body.append(...rows.map((entry) => entry.row));
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[column].setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    };
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => sort(column)));
  });

  // A link to a page that is folded opens it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target.matches("section.category")) all("details.body", target).forEach((fold) => { fold.open = true; });
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  // Viewer: one image with its patch grid; pointer or arrow keys read the score of a patch.
  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  const readout = viewer.querySelector(".readout");
  let shown = null;
  const gridPath = (rows, columns) => {
    let path = "";
    for (let c = 1; c < columns; c += 1) path += `M${c} 0V${rows}`;
    for (let r = 1; r < rows; r += 1) path += `M0 ${r}H${columns}`;
    return path;
  };
  const point = (row, column) => {
    shown.row = Math.min(shown.rows - 1, Math.max(0, row));
    shown.column = Math.min(shown.columns - 1, Math.max(0, column));
    const cell = { width: 100 / shown.columns, height: 100 / shown.rows };
    Object.assign(shown.cursor.style, {
      left: `${cell.width * shown.column}%`, top: `${cell.height * shown.row}%`,
      width: `${cell.width}%`, height: `${cell.height}%`,
    });
    const score = shown.patches[shown.row * shown.columns + shown.column];
    readout.textContent = `Row ${shown.row}, column ${shown.column}: patch score ${score}`;
  };
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    return element;
  };
  const open = (button) => {
    const { rows, columns, patches, name } = button.dataset;
    stage.replaceChildren(...[...button.children].map((child) => child.cloneNode(true)));
    const grid = svg("svg", { viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none" });
    grid.append(svg("path", { class: "grid", d: gridPath(+rows, +columns) }));
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    stage.append(grid, cursor);
    stage.style.aspectRatio = button.dataset.ratio;
    viewer.querySelector(".viewer-title").textContent = name;
    shown = { rows: +rows, columns: +columns, patches: patches.split(","), cursor, row: 0, column: 0 };
    viewer.showModal();
    const scores = shown.patches.map(Number);
    const highest = scores.indexOf(Math.max(...scores));
    point(Math.floor(highest / shown.columns), highest % shown.columns);
    stage.focus();
  };
  all("button.picture").forEach((button) => button.addEventListener("click", () => open(button)));
  stage.addEventListener("pointermove", (event) => {
    const box = stage.getBoundingClientRect();
    point(Math.floor(((event.clientY - box.top) / box.height) * shown.rows),
      Math.floor(((event.clientX - box.left) / box.width) * shown.columns));
  });
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    point(shown.row + step[0], shown.column + step[1]);
  });
  viewer.querySelector(".close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
})();
