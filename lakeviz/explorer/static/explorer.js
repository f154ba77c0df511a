// The explorer's page: draws what the kernel says and sends clicks back. All text is set as text.

const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 4000; // milliseconds without an answer after which we say so
const FEW = 12; // neurons shown before "show all"
let views = 0;

/** Make an element; strings among the children become text. */
function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
const signed = (value, digits) => {
  const size = Math.abs(value).toFixed(digits);
  if (Number(size) === 0) return size; // neither sign is known
  return (value < 0 ? "−" : "+") + size;
};
const plain = (value, digits) => value.toFixed(digits).replace("-", "−");
const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const short = (point) => point.replace(/^blocks\.(\d+)\.hook_/, "block $1 · ");

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.prefix = `lakeviz-${++views}-`;
    this.serial = 0;
    this.waiting = null; // serial of the message without an answer
    this.pending = new Map(); // the newest message of each kind, sent when the answer is there
    this.dropped = this.confirmed();
    this.filter = "all";
    this.order = "high";
    this.neuronOrder = "share";
    this.layer = "on";
    this.point = 0;
    this.showAll = false;
    this.opacity = 0.8;
    this.outlines = true;
    this.cursor = null;
    this.build();
    this.handlers = {
      listing: () => this.drawListing(),
      picture: () => this.drawPicture(),
      knocked: () => this.drawPicture(),
      exchanged: () => this.drawPicture(),
      patch: () => this.drawPatch(),
      neuron: () => this.drawNeuron(),
      metrics: () => this.drawEffects(),
      problem: () => this.drawStatus(),
      answered: () => this.hear(),
    };
    for (const [name, draw] of Object.entries(this.handlers)) model.on(`change:${name}`, draw);
    this.drawListing();
    this.drawPicture();
    this.drawPatch();
    this.drawNeuron();
    this.drawStatus();
  }

  remove() {
    clearTimeout(this.timer);
    this.pause();
    for (const [name, draw] of Object.entries(this.handlers)) this.model.off(`change:${name}`, draw);
  }

  get(name) {
    return this.model.get(name) || {};
  }

  // --- talking to the kernel: one question at a time, of each kind the newest ---

  ask(message) {
    if (this.waiting !== null) {
      if (["category", "image", "visit"].includes(message.do)) this.pending.clear();
      this.pending.set(message.do, message);
      return;
    }
    this.waiting = ++this.serial;
    this.model.send({ ...message, serial: this.waiting });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.drawStatus(true), PATIENCE);
    this.drawStatus();
  }

  hear() {
    if (this.model.get("answered") !== this.waiting) return;
    clearTimeout(this.timer);
    this.waiting = null;
    const next = this.pending.entries().next();
    if (!next.done) {
      this.pending.delete(next.value[0]);
      this.ask(next.value[1]);
    } else {
      this.dropped = this.confirmed();
      this.drawNeuronList();
    }
    this.drawStatus();
  }

  confirmed() {
    const sets = new Map();
    for (const [point, channels] of Object.entries(this.get("knocked").dropped || {})) {
      sets.set(point, new Set(channels));
    }
    return sets;
  }

  // --- the frame ---

  build() {
    this.status = h("span", { className: "status", role: "status" });
    this.problem = h("p", { className: "problem", role: "alert" });
    this.category = h("select", {
      onchange: () => this.ask({ do: "category", name: this.category.value }),
    });
    this.categoryLabel = h("label", {}, "Category ", this.category);
    this.title = h("h2");
    this.note = h("p", { className: "hint" });
    this.root.append(
      h(
        "header",
        {},
        h("div", { className: "head" }, this.title, this.categoryLabel, this.status),
        this.note,
        this.problem,
      ),
      h("div", { className: "columns" }, this.buildList(), this.buildStage(), this.buildPatch()),
      this.buildNeuron(),
    );
  }

  choice(legend, name, options, chosen, pick) {
    const group = h("div", { className: "choice", role: "radiogroup", "aria-label": legend });
    for (const [value, text] of options) {
      const input = h("input", {
        type: "radio",
        name: this.prefix + name,
        value,
        checked: value === chosen,
        onchange: () => pick(value),
      });
      group.append(h("label", {}, input, h("span", {}, text)));
    }
    return group;
  }

  buildList() {
    this.list = h("ul", {
      role: "listbox",
      tabIndex: 0,
      "aria-label": "Test images",
      onkeydown: (event) => this.listKey(event),
    });
    this.sorting = h(
      "select",
      {
        "aria-label": "Order of the images",
        onchange: () => {
          this.order = this.sorting.value;
          this.drawList();
        },
      },
      h("option", { value: "high" }, "highest score first"),
      h("option", { value: "low" }, "lowest score first"),
      h("option", { value: "name" }, "by name"),
    );
    this.counts = h("p", { className: "hint" });
    return h(
      "section",
      { className: "images" },
      h("h3", {}, "Images"),
      this.choice(
        "Which images",
        "filter",
        [
          ["all", "all"],
          ["0", "normal"],
          ["1", "defective"],
        ],
        this.filter,
        (value) => {
          this.filter = value;
          this.drawList();
        },
      ),
      this.sorting,
      this.list,
      this.counts,
    );
  }

  buildStage() {
    this.photo = h("img", { alt: "", className: "photo" });
    this.heat = h("img", { alt: "", className: "heat" });
    this.drawing = svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
    this.stage = h(
      "div",
      {
        className: "stage",
        tabIndex: 0,
        role: "application",
        "aria-label": "Patches of the image: click one, or move with the arrow keys",
        onclick: (event) => this.pick(event),
        onmousemove: (event) => this.hover(event),
        onmouseleave: () => this.read(this.cursor),
        onkeydown: (event) => this.stageKey(event),
      },
      this.photo,
      this.heat,
      this.drawing,
    );
    this.clip = []; // frames of the clip on show, in their order
    this.play = h("button", { type: "button", "aria-pressed": "false" }, "play");
    this.time = h("input", { type: "range", min: 0, "aria-label": "frame of the clip" });
    this.film = h("div", { className: "settings film" }, this.play, this.time);
    this.pause = player(
      this.play,
      this.time,
      (n) => this.choose(this.clip[n].index),
      () => this.waiting === null,
    );
    this.reading = h("p", { className: "reading", "aria-live": "polite" });
    this.layers = h("div");
    this.bar = h("div", { className: "bar" });
    this.ticks = h("div", { className: "ticks" });
    this.slider = h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.05,
      value: this.opacity,
      oninput: () => {
        this.opacity = Number(this.slider.value);
        this.drawLayers();
      },
    });
    this.outlineBox = h("input", {
      type: "checkbox",
      checked: true,
      onchange: () => {
        this.outlines = this.outlineBox.checked;
        this.drawLayers();
      },
    });
    this.opacityLabel = h("label", {}, "Map ", this.slider);
    this.outlineLabel = h("label", {}, this.outlineBox, " mask outline");
    this.absent = h("p", { className: "hint" });
    this.rule = h("p", { className: "hint" });
    this.imageName = h("h3", { className: "name" });
    this.effects = h("div", { className: "effects" });
    return h(
      "section",
      { className: "shown" },
      this.imageName,
      this.layers,
      this.stage,
      this.film,
      this.reading,
      h("div", { className: "settings" }, this.opacityLabel, this.outlineLabel),
      this.absent,
      h("div", { className: "scale" }, this.bar, this.ticks),
      this.rule,
      this.effects,
    );
  }

  buildPatch() {
    this.patchHead = h("h3");
    this.patchText = h("p", { className: "reading" });
    this.points = h("div");
    this.pair = h("div", { className: "pair" });
    this.formula = h("p", { className: "hint" });
    this.neuronSort = h(
      "select",
      {
        "aria-label": "Order of the neurons",
        onchange: () => {
          this.neuronOrder = this.neuronSort.value;
          this.drawNeuronList();
        },
      },
      h("option", { value: "share" }, "largest share first"),
      h("option", { value: "rank" }, "by rank of selection"),
    );
    this.neuronList = h("ul", { className: "neurons", "aria-label": "Selected neurons" });
    this.more = h("button", {
      type: "button",
      onclick: () => {
        this.showAll = !this.showAll;
        this.drawNeuronList();
      },
    });
    this.largest = h(
      "button",
      { type: "button", onclick: () => this.dropLargest() },
      "5 largest off",
    );
    this.allOn = h(
      "button",
      {
        type: "button",
        onclick: () => {
          this.dropped = new Map();
          this.toggled();
        },
      },
      "All on",
    );
    return h(
      "section",
      { className: "patch" },
      this.patchHead,
      this.patchText,
      this.points,
      this.pair,
      h("h4", {}, "Neurons: share of this distance"),
      h("div", { className: "settings" }, this.neuronSort, this.largest, this.allOn),
      this.neuronList,
      this.more,
      this.formula,
    );
  }

  buildNeuron() {
    this.neuronHead = h("h3");
    this.neuronText = h("p", { className: "hint" });
    this.neuronBody = h("div", { className: "across" });
    return h("section", { className: "neuron" }, this.neuronHead, this.neuronText, this.neuronBody);
  }

  // --- status ---

  drawStatus(late = false) {
    const busy = this.waiting !== null;
    this.root.classList.toggle("busy", busy);
    this.status.textContent = !busy
      ? ""
      : late
        ? "no answer yet: the kernel is busy or not running"
        : "updating …";
    this.problem.textContent = this.model.get("problem") || "";
  }

  // --- images ---

  drawListing() {
    const all = this.get("listing");
    this.title.textContent = `Explorer: ${all.category}`;
    this.category.replaceChildren(
      ...all.categories.map((name) =>
        h("option", { value: name, selected: name === all.category }, name),
      ),
    );
    this.categoryLabel.hidden = all.categories.length < 2;
    const k = Object.values(all.neurons).map((n) => n.channels.length);
    const spread = k.every((one) => one === k[0]) ? k[0] : k.join(", ");
    this.note.textContent =
      `${spread} neurons (${all.selector}) at ${counted(k.length, "hook point")}, ` +
      `${all.distance} distance to the patches of ${counted(all.n_fit, "normal image")}; ` +
      `image score: ${all.image_score} over the patches.`;
    this.bar.style.background = `linear-gradient(90deg, ${all.gradient.join(", ")})`;
    this.ticks.replaceChildren(
      ...all.ticks.map((tick) => {
        const mark = h("span", {}, tick.label);
        mark.style.left = `${100 * tick.place}%`;
        return mark;
      }),
    );
    this.rule.textContent = `Patch score; one scale for all images, ${all.rule}.`;
    this.point = Math.min(this.point, k.length - 1);
    this.drawList();
    this.drawPoints();
  }

  drawList() {
    const all = this.get("listing");
    const scores = all.images.map((image) => image.score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    this.items = all.images.filter((i) => this.filter === "all" || String(i.label) === this.filter);
    if (this.order === "name") {
      this.items.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    } else {
      const sign = this.order === "high" ? -1 : 1;
      this.items.sort((a, b) => sign * (a.score - b.score) || a.index - b.index);
    }
    this.list.replaceChildren(
      ...this.items.map((image) => {
        const fill = h("span", { className: "fill" });
        fill.style.width = `${high > low ? (100 * (image.score - low)) / (high - low) : 0}%`;
        return h(
          "li",
          {
            role: "option",
            id: `${this.prefix}image-${image.index}`,
            title: image.name,
            onclick: () => this.choose(image.index),
          },
          h("span", { className: "mark" }, image.label ? "◆" : "○"),
          h("span", { className: "file" }, h("bdi", {}, image.name)),
          h("span", { className: "number" }, plain(image.score, all.decimals)),
          h("span", { className: "kind" }, image.kind),
          h("span", { className: "track" }, fill),
        );
      }),
    );
    const n = this.items.length;
    this.counts.textContent =
      (n === scores.length
        ? counted(n, "test image")
        : `${n} of ${counted(scores.length, "test image")}`) + "; ◆ defective, ○ normal";
    this.markChosen();
  }

  markChosen() {
    const chosen = this.get("picture").index;
    for (const item of this.list.children) {
      const here = item.id === `${this.prefix}image-${chosen}`;
      item.setAttribute("aria-selected", String(here));
      if (here) {
        this.list.setAttribute("aria-activedescendant", item.id);
        const [top, bottom] = [item.offsetTop, item.offsetTop + item.offsetHeight];
        if (top < this.list.scrollTop) this.list.scrollTop = top;
        else if (bottom > this.list.scrollTop + this.list.clientHeight) {
          this.list.scrollTop = bottom - this.list.clientHeight;
        }
      }
    }
  }

  choose(index) {
    this.ask({ do: "image", index });
  }

  listKey(event) {
    const at = this.items.findIndex((image) => image.index === this.get("picture").index);
    const last = this.items.length - 1;
    const to = {
      ArrowDown: at < 0 ? 0 : Math.min(at + 1, last),
      ArrowUp: at < 0 ? 0 : Math.max(at - 1, 0),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    event.stopPropagation();
    if (to !== at) this.choose(this.items[to].index);
  }

  // --- the image and its map ---

  drawPicture() {
    const shown = this.get("picture");
    const image = this.get("listing").images.find((one) => one.index === shown.index);
    if (!image) return;
    this.imageName.replaceChildren(
      h("bdi", {}, image.name),
      h("span", { className: "kind" }, image.label ? `defective: ${image.kind}` : "normal"),
    );
    this.clip = image.clip
      ? this.get("listing").images.filter((one) => one.clip === image.clip)
      : [];
    this.clip.sort((a, b) => a.frame - b.frame);
    this.film.hidden = this.clip.length < 2;
    if (this.film.hidden) this.pause();
    this.time.max = this.clip.length - 1;
    this.time.value = this.clip.findIndex((one) => one.index === shown.index);
    this.photo.hidden = !shown.photo;
    if (shown.photo) this.photo.src = shown.photo;
    this.stage.style.aspectRatio = `${shown.width} / ${shown.height}`;
    this.stage.style.maxWidth = `${(26 * shown.width) / shown.height}rem`;
    this.drawing.setAttribute("viewBox", `0 0 ${shown.width} ${shown.height}`);
    this.opacityLabel.hidden = !shown.photo;
    this.outlineLabel.hidden = !shown.outline;
    this.absent.textContent = [shown.problem && `No photograph: ${shown.problem}.`]
      .concat(shown.no_mask && `No outline: ${shown.no_mask}.`)
      .filter(Boolean)
      .join(" ");
    this.absent.hidden = !this.absent.textContent;
    this.drawLayerChoice();
    this.drawLayers();
    this.drawEffects();
    this.markChosen();
  }

  drawLayerChoice() {
    const [off, twin] = [this.get("knocked"), this.get("exchanged")];
    this.layers.replaceChildren();
    if (!off.n) {
      this.layer = "off";
      return;
    }
    if (!twin.n && this.layer === "twin") this.layer = "off";
    this.layers.append(
      this.choice(
        "Which map",
        "layer",
        [
          ["on", "all neurons"],
          ["off", `without ${off.n} chosen`],
          ["random", `without ${off.n} random`],
          ...(twin.n ? [["twin", `${twin.n} chosen from the twin`]] : []),
        ],
        this.layer,
        (value) => {
          this.layer = value;
          this.drawLayers();
        },
      ),
      h(
        "div",
        { className: "settings" },
        h(
          "button",
          {
            type: "button",
            className: "exchange",
            title: "The chosen neurons take the values of the image without its defect",
            onclick: () => {
              this.layer = "twin";
              this.ask({ do: "exchange" });
            },
          },
          "Patch from the twin",
        ),
      ),
    );
  }

  current() {
    const [shown, off] = [this.get("picture"), this.get("knocked")];
    if (!off.n || this.layer === "on") return shown;
    if (this.layer === "random") return { heat: off.control_heat, scores: off.control_map };
    const twin = this.get("exchanged");
    if (this.layer === "twin" && twin.n) return twin;
    return off;
  }

  drawLayers() {
    const shown = this.get("picture");
    this.heat.src = this.current().heat;
    this.heat.style.opacity = shown.photo ? this.opacity : 1;
    this.drawing.replaceChildren();
    if (shown.outline && this.outlines) {
      this.drawing.append(svg("path", { d: shown.outline, class: "under" }));
      this.drawing.append(svg("path", { d: shown.outline, class: "line" }));
    }
    if (this.cursor) {
      const [width, height] = [shown.width / shown.columns, shown.height / shown.rows];
      const box = { x: this.cursor.column * width, y: this.cursor.row * height, width, height };
      this.drawing.append(svg("rect", { ...box, class: "under" }));
      this.drawing.append(svg("rect", { ...box, class: "frame" }));
    }
    this.read(this.cursor);
  }

  at(event) {
    const shown = this.get("picture");
    const box = this.stage.getBoundingClientRect();
    const inside = (share, n) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
    return {
      row: inside((event.clientY - box.top) / box.height, shown.rows),
      column: inside((event.clientX - box.left) / box.width, shown.columns),
    };
  }

  read(place) {
    const shown = this.get("picture");
    if (!place) return;
    const score = this.current().scores[place.row * shown.columns + place.column];
    this.reading.textContent =
      `Row ${place.row}, column ${place.column}: ` +
      `patch score ${plain(score, this.get("listing").decimals)}`;
  }

  hover(event) {
    this.read(this.at(event));
  }

  pick(event) {
    this.point_at(this.at(event));
  }

  point_at(place) {
    this.cursor = place;
    this.drawLayers();
    this.ask({ do: "patch", ...place });
  }

  stageKey(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const by = step[event.key];
    if (!by || !this.cursor) return;
    event.preventDefault();
    event.stopPropagation();
    const shown = this.get("picture");
    this.point_at({
      row: Math.min(shown.rows - 1, Math.max(0, this.cursor.row + by[0])),
      column: Math.min(shown.columns - 1, Math.max(0, this.cursor.column + by[1])),
    });
  }

  // --- what it changes ---

  drawEffects() {
    const [off, metrics, all] = [this.get("knocked"), this.get("metrics"), this.get("listing")];
    const shown = this.get("picture");
    const n = off.n || 0;
    const rows = [];
    const score = [plain(shown.score, all.decimals)];
    if (n) {
      const d = all.decimals;
      score.push(plain(off.score, d));
      score.push([
        plain(off.control_mean, d),
        `(${plain(off.control_min, d)} to ${plain(off.control_max, d)})`,
      ]);
      score.push(signed(off.score - off.control_mean, d));
    }
    rows.push(["Score of this image", ...score]);
    const names = { auroc: "Image AUROC", aupro: "AUPRO" };
    for (const row of metrics.rows || []) {
      const cells = [names[row.metric] || row.metric];
      if (row.intact === undefined || row.intact === null) cells.push(`none: ${row.reason}`);
      else {
        cells.push(row.intact.toFixed(3));
        if (n && metrics.state === "done" && metrics.n === n && row.control_mean !== undefined) {
          cells.push(row.value.toFixed(3));
          cells.push([
            row.control_mean.toFixed(3),
            `(${row.control_min.toFixed(3)} to ${row.control_max.toFixed(3)})`,
          ]);
          cells.push([
            signed(row.difference, 3),
            `[${signed(row.difference_low, 3)}, ${signed(row.difference_high, 3)}]`,
          ]);
        } else if (n) cells.push("updating …", "", "");
      }
      rows.push(cells);
    }
    const heads = ["", "all neurons"];
    if (n) heads.push(`without ${n} chosen`, `without ${n} random`, "chosen − random");
    const sets = off.n_random_sets;
    const images = (metrics.rows || [{}])[0].n_images;
    const said = [];
    if (metrics.state === "failed") said.push(`Not measured: ${metrics.reason}.`);
    else if (metrics.state === "updating") said.push("The test set is being measured …");
    if (n) {
      said.push(
        `Random: mean (smallest to largest) of ${sets} random sets of as many selected neurons.`,
      );
      if (images) {
        said.push(
          `Brackets: 95 % interval over the ${images} test images and over the choice of one random set.`,
        );
      }
      said.push("Neurons that are off are left out of the comparison; the network is untouched.");
      const [twin, d] = [this.get("exchanged"), all.decimals];
      if (twin.n) {
        said.push(
          `With the values of the twin (${twin.twin}) in the ${twin.n} chosen, and the network run ` +
            `on, this image scores ${plain(twin.score, d)}; in as many random neurons ` +
            `${plain(twin.control_mean, d)} (${plain(twin.control_min, d)} to ` +
            `${plain(twin.control_max, d)}). The twin itself scores ${plain(twin.twin_score, d)}.`,
        );
      }
    } else {
      said.push("Switch neurons off on the right to see what changes, compared with random ones.");
    }
    this.effects.replaceChildren(
      h(
        "div",
        { className: "scroll" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ...heads.map((t) => h("th", { scope: "col" }, t)))),
          h(
            "tbody",
            {},
            ...rows.map(([name, ...cells]) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, name),
                ...cells.map((cell) =>
                  Array.isArray(cell)
                    ? h("td", {}, `${cell[0]} `, h("span", {}, cell[1]))
                    : h("td", {}, cell),
                ),
              ),
            ),
          ),
        ),
      ),
      h("p", { className: "hint" }, said.join(" ")),
    );
    this.effects.classList.toggle("updating", metrics.state === "updating");
  }

  // --- a patch ---

  drawPatch() {
    const patch = this.get("patch");
    if (patch.row === undefined) return;
    this.cursor = { row: patch.row, column: patch.column };
    const d = this.get("listing").decimals;
    this.patchHead.textContent = `Patch in row ${patch.row}, column ${patch.column}`;
    const parts = [`Score ${plain(patch.score, d)}`];
    if (patch.text !== null) {
      parts.push(`visual ${plain(patch.visual, d)}, text ${patch.text.toFixed(3)}`);
    }
    if (patch.n_off) parts.push(`with ${counted(patch.n_off, "neuron")} off`);
    this.patchText.textContent = parts.join("; ") + ".";
    this.drawLayers();
    this.drawPoints();
  }

  drawPoints() {
    const points = this.get("patch").points || [];
    this.points.replaceChildren();
    if (points.length > 1) {
      this.points.append(
        this.choice(
          "Hook point",
          "point",
          points.map((one, i) => [String(i), short(one.point)]),
          String(this.point),
          (value) => {
            this.point = Number(value);
            this.drawPoint();
          },
        ),
      );
    }
    this.drawPoint();
  }

  drawPoint() {
    const patch = this.get("patch");
    const one = (patch.points || [])[this.point];
    if (!one) return;
    const d = this.get("listing").decimals;
    const [nearest] = one.neighbours;
    this.pair.replaceChildren(
      this.figure(one.crop, "this patch"),
      this.figure(
        nearest.crop,
        h(
          "span",
          {},
          `${one.n_neighbours > 1 ? `nearest of ${one.n_neighbours}` : "nearest normal patch"}: `,
          h("bdi", {}, nearest.name),
          `, row ${nearest.row}, column ${nearest.column}; distance ${plain(nearest.distance, d)}`,
        ),
      ),
      this.where(nearest),
    );
    const all = this.get("listing");
    const rule =
      all.distance === "cosine"
        ? "half of (a − b)² of a neuron, both patches at unit length, sums over the neurons to 1 − cos"
        : "(q − g)² of a neuron, divided by the distance, sums over the neurons to the distance";
    const mean = all.n_neighbours > 1 ? ` (mean over ${all.n_neighbours} neighbours)` : "";
    const rest =
      one.unattributed > 1e-6
        ? ` ${percent(one.unattributed)} belongs to no neuron: a patch that is zero in all of them is at distance 1 by convention.`
        : "";
    this.formula.textContent =
      `Exact: ${rule}${mean}. Bar: share of this patch’s distance of ${plain(one.score, d)}. ` +
      (patch.n_off
        ? ""
        : "Line: the neuron’s share over all patches of normal test images. ") +
      `A large share is not a cause.${rest}`;
    this.drawNeuronList();
  }

  figure(source, caption) {
    const picture = source
      ? h("img", { src: source, alt: "" })
      : h("span", { className: "blank" }, "no photograph");
    return h("figure", {}, picture, h("figcaption", {}, caption));
  }

  /** Where in its image the nearest normal patch lies. */
  where(place) {
    const drawing = svg("svg", {
      viewBox: `0 0 ${place.columns} ${place.rows}`,
      class: "where",
      role: "img",
      "aria-label": `row ${place.row} of ${place.rows}, column ${place.column} of ${place.columns}`,
    });
    const all = { x: 0, y: 0, width: place.columns, height: place.rows };
    drawing.append(svg("rect", { ...all, class: "grid" }));
    drawing.append(svg("rect", { x: place.column, y: place.row, width: 1, height: 1, class: "at" }));
    const made = h("figure", {});
    made.append(drawing, h("figcaption", {}, "where it lies"));
    return made;
  }

  // --- the list of neurons ---

  drawNeuronList() {
    const patch = this.get("patch");
    const one = (patch.points || [])[this.point];
    if (!one) return;
    const selected = this.get("listing").neurons[one.point];
    if (!selected) return;
    const off = this.dropped.get(one.point) || new Set();
    const at = new Map(one.channel.map((channel, i) => [channel, i]));
    const entries = selected.channels.map((channel, i) => ({
      channel,
      rank: i + 1,
      share: at.has(channel) ? one.share[at.get(channel)] : null,
      typical: at.has(channel) ? one.normal_share[at.get(channel)] : null,
      off: off.has(channel),
    }));
    if (this.neuronOrder === "share") {
      entries.sort((a, b) => a.off - b.off || (b.share ?? -1) - (a.share ?? -1) || a.rank - b.rank);
    }
    const offs = entries.filter((e) => e.off);
    const few = entries.slice(0, FEW);
    const shown = this.showAll ? entries : [...few, ...offs.filter((e) => !few.includes(e))];
    const most = Math.max(1e-9, ...entries.map((e) => Math.max(e.share ?? 0, e.typical ?? 0)));
    const focused = this.root.getRootNode().activeElement;
    const key = this.neuronList.contains(focused) ? focused.dataset.key : null;
    this.neuronList.replaceChildren(...shown.map((e) => this.neuronRow(one.point, e, most)));
    if (key) this.neuronList.querySelector(`[data-key="${key}"]`)?.focus();
    this.more.hidden = entries.length <= FEW;
    this.more.textContent = this.showAll
      ? `Show ${FEW}`
      : `Show all ${entries.length} (these: ${percent(few.reduce((sum, e) => sum + (e.share ?? 0), 0))})`;
    this.allOn.disabled = ![...this.dropped.values()].some((set) => set.size);
  }

  neuronRow(point, entry, most) {
    const chosen = this.get("neuron");
    const here = chosen.point === point && chosen.channel === entry.channel;
    const box = h("input", {
      type: "checkbox",
      checked: !entry.off,
      "aria-label": `neuron ${entry.channel} on`,
      onchange: () => this.toggle(point, entry.channel),
    });
    box.dataset.key = `on-${entry.channel}`;
    const name = h(
      "button",
      {
        type: "button",
        className: "link",
        "aria-pressed": String(here),
        title: `rank ${entry.rank} of the selection; show where it fires`,
        onclick: () => this.ask({ do: "neuron", point, channel: entry.channel }),
      },
      String(entry.channel),
    );
    name.dataset.key = `show-${entry.channel}`;
    const track = h("span", { className: "track" });
    if (entry.share !== null && !entry.off) {
      const fill = h("span", { className: "fill" });
      fill.style.width = `${(100 * entry.share) / most}%`;
      track.append(fill);
      if (entry.typical !== null) {
        const mark = h("span", { className: "typical" });
        mark.style.left = `${(100 * entry.typical) / most}%`;
        mark.title = `${percent(entry.typical)} over patches of normal test images`;
        track.append(mark);
      }
    }
    const text = entry.off ? "off" : percent(entry.share);
    return h(
      "li",
      { className: (entry.off ? "off" : "") + (here ? " here" : "") },
      box,
      name,
      track,
      h("span", { className: "number" }, text),
    );
  }

  toggle(point, channel) {
    const set = new Set(this.dropped.get(point) || []);
    if (!set.delete(channel)) set.add(channel);
    this.dropped.set(point, set);
    this.toggled();
  }

  dropLargest() {
    const one = this.get("patch").points[this.point];
    const set = new Set(this.dropped.get(one.point) || []);
    for (const channel of one.channel.filter((c) => !set.has(c)).slice(0, 5)) set.add(channel);
    this.dropped.set(one.point, set);
    this.toggled();
  }

  toggled() {
    const dropped = {};
    for (const [point, set] of this.dropped) if (set.size) dropped[point] = [...set];
    this.layer = "off";
    this.drawNeuronList();
    this.ask({ do: "toggle", dropped });
  }

  // --- a neuron ---

  drawNeuron() {
    const neuron = this.get("neuron");
    this.drawNeuronList();
    if (neuron.channel === undefined) {
      this.neuronHead.textContent = "A neuron across categories";
      this.neuronText.textContent = "Choose a neuron’s number above to see where it fires.";
      this.neuronBody.replaceChildren();
      return;
    }
    this.neuronHead.textContent = `Neuron ${neuron.channel} of ${neuron.point}`;
    const there = this.get("listing").neurons[neuron.point];
    this.neuronText.textContent =
      `It fires where a patch lies more than ${neuron.threshold} standard deviations of the category’s ` +
      "normal patches from their mean, to either side. Bar: share of the patches of test images; " +
      `line: mean share over all ${there ? `${there.n_channels} ` : ""}channels of the point. Pictures: the patches ` +
      "farthest from the normal mean, one an image, with the distance in standard deviations." +
      neuron.notes.map((note) => ` ${note}.`).join("");
    const most = Math.max(
      1e-9,
      ...neuron.categories.flatMap((c) => [
        c.fired_normal ?? 0,
        c.fired_anomalous ?? 0,
        c.all_normal ?? 0,
        c.all_anomalous ?? 0,
      ]),
    );
    this.neuronBody.replaceChildren(...neuron.categories.map((c) => this.acrossRow(c, most)));
  }

  acrossRow(c, most) {
    const shown = this.get("listing").category;
    const bars = h("div", { className: "bars" });
    for (const [kind, noun] of [
      ["normal", "normal"],
      ["anomalous", "defective"],
    ]) {
      const n = c[`n_${kind}`];
      const [share, typical] = [c[`fired_${kind}`], c[`all_${kind}`]];
      const track = h("span", { className: "track" });
      if (share !== null) {
        const fill = h("span", { className: `fill ${kind}` });
        fill.style.width = `${(100 * share) / most}%`;
        const mark = h("span", { className: "typical" });
        mark.style.left = `${(100 * typical) / most}%`;
        mark.title = `${percent(typical)} over all channels`;
        track.append(fill, mark);
      }
      bars.append(
        h("span", {}, `${noun}, ${counted(n, "image")}`),
        track,
        h("span", { className: "number" }, share === null ? "none" : percent(share)),
      );
    }
    const crops = h("div", { className: "crops" });
    for (const place of c.examples) {
      const caption = `${signed(place.z, 1)} sd`;
      const inner = place.crop
        ? h("img", { src: place.crop, alt: "" })
        : h("span", { className: "blank" }, `row ${place.row}, column ${place.column}`);
      crops.append(
        h(
          "button",
          {
            type: "button",
            className: "crop",
            title: `${place.name}, row ${place.row}, column ${place.column}`,
            "aria-label": `show ${place.name}, row ${place.row}, column ${place.column}, ${caption}`,
            onclick: () => this.visit(c.category, place),
          },
          inner,
          h("span", {}, caption),
        ),
      );
    }
    return h(
      "div",
      { className: "row" },
      h(
        "div",
        { className: "who" },
        h("strong", { className: c.category === shown ? "here" : "" }, c.category),
        h("span", {}, c.selected ? `rank ${c.rank} of ${c.k} selected` : "not selected"),
      ),
      bars,
      crops,
      ...this.dossier(c.dossier ?? []),
    );
  }

  dossier(sentences) {
    if (!sentences.length) return [];
    const list = h("ul", {}, ...sentences.map((sentence) => h("li", {}, sentence)));
    return [h("details", { className: "dossier" }, h("summary", {}, "Dossier"), list)];
  }

  visit(category, place) {
    const { image, row, column, rows, columns } = place;
    this.ask({ do: "visit", category, index: image, row, column, rows, columns });
  }
}

export default {
  render({ model, el }) {
    const root = h("div", { className: "lakeviz-explorer" });
    el.append(root);
    const explorer = new Explorer(model, root);
    return () => explorer.remove();
  },
};
