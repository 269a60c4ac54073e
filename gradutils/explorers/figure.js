// Draws an explorer: what its artists draw at a position of its sliders, over the picture of everything else. All of it comes
// from a table that Python made (gradutils/explorers/packing.py says how it is packed); no number is computed here.
//
//   mount(element, bytes)   a living explorer in an empty element, from the bytes of a table
//   mountUrl(element, url)  the same, from its address
//   default.render          the same in a notebook (anywidget): a position between the rows is asked of Python

const PARTS = 16;
const GAP = -32768;
const WAYS = [[0, 1], [0, 2], [1, 1], [1, 2]];

const STYLE = `
.gradutils-explorer { max-width: 704px; margin: 0.5em 0; font-family: inherit; font-size: 0.93rem; line-height: 1.45; color: inherit; }
.gradutils-explorer .controls { display: grid; grid-template-columns: minmax(8em, 11em) 1fr 4em; gap: 0.35em 0.8em; align-items: center; }
.gradutils-explorer .control { grid-column: 1 / -1; display: grid; grid-template-columns: subgrid; column-gap: inherit; align-items: center; }
.gradutils-explorer input { accent-color: #5790fc; margin: 0; }
.gradutils-explorer input[type=range] { width: 100%; min-width: 0; }
.gradutils-explorer output { font-variant-numeric: tabular-nums; }
.gradutils-explorer .options { grid-column: 2 / -1; display: flex; flex-wrap: wrap; gap: 0.2em 1.1em; }
.gradutils-explorer .options label { display: inline-flex; align-items: center; gap: 0.35em; }
.gradutils-explorer canvas { display: block; width: 100%; background: white; border-radius: 4px; }
.gradutils-explorer .said { margin: 0.5em 0; min-height: 4.35em; }
@media (max-width: 480px) {
  .gradutils-explorer .controls { grid-template-columns: 1fr 4em; gap: 0.1em 0.8em; }
  .gradutils-explorer .name { grid-column: 1 / -1; }
  .gradutils-explorer .options { grid-column: 1 / -1; }
  .gradutils-explorer .said { min-height: 7.25em; }
}`;

// Reading ------------------------------------------------------------------------------------------------------------------

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const whole = new Uint8Array(await new Response(stream).arrayBuffer());
  const body = 4 + new DataView(whole.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(whole.subarray(4, body)));
  let place = body;
  const blobs = head.blobs.map((length) => whole.subarray(place, (place += length)));
  let next = 0;
  const sentences = readWords(blobs[next++], head.rows);
  const slots = head.slots.map((_, k) => ({
    chosen: readChosen(blobs[next++], head.rows),
    x: readTracks(blobs[next++], blobs[next++], head.ways[2 * k]),
    y: readTracks(blobs[next++], blobs[next++], head.ways[2 * k + 1]),
  }));
  const pictures = new Map();
  for (const name of head.pictures) {
    pictures.set(name, await createImageBitmap(new Blob([blobs[next++]], { type: "image/png" })));
  }
  for (const style of head.styles) if (style?.shape) style.shape = new Path2D(style.shape);
  return { ...head, sentences, slots, pictures };
}

function readWords(blob, rows) {
  const words = new TextDecoder().decode(blob).split("\n");
  return (row) => {
    const said = [];
    for (let k = row; k < words.length; k += rows) said.push(words[k]);
    return said.join(" ").trimEnd();
  };
}

// Numbers of 16 bits stand as all low bytes, then all high ones.
const whole = (blob, k) => blob[k] | (blob[k + blob.length / 2] << 8);

// Which style, which x and which y a row takes, each the difference to the row before.
function readChosen(blob, rows) {
  const chosen = new Uint16Array(3 * rows);
  for (let k = 0; k < chosen.length; k++) chosen[k] = whole(blob, k) + (k % rows ? chosen[k - 1] : 0);
  return chosen;
}

function readTracks(lengths, values, way) {
  const [across, along] = WAYS[way], tracks = [];
  let start = 0;
  for (let k = 0; k < lengths.length / 2; k++) {
    const track = new Int16Array(whole(lengths, k)), before = tracks[k - 1];
    for (let j = 0; j < track.length; j++) track[j] = whole(values, start + j);
    for (let pass = 0; pass < along; pass++) for (let j = 1; j < track.length; j++) track[j] += track[j - 1];
    if (across && before?.length === track.length) for (let j = 0; j < track.length; j++) track[j] += before[j];
    start += track.length;
    tracks.push(track);
  }
  return tracks;
}

// Drawing ------------------------------------------------------------------------------------------------------------------

function drawRow(context, table, row, pictures) {
  for (const { chosen, x, y } of table.slots) {
    const style = table.styles[chosen[row]];
    if (!style) continue;
    context.save();
    if (style.clip) {
      context.beginPath();
      context.rect(...style.clip);
      context.clip();
    }
    if (style.picture) {
      context.drawImage(pictures.get(style.picture), ...style.at);
    } else {
      context.lineWidth = style.width ?? 0;
      context.lineJoin = style.join ?? "round";
      context.lineCap = style.cap ?? "butt";
      context.setLineDash(style.dash ?? []);
      context.strokeStyle = style.stroke ?? "transparent";
      context.fillStyle = style.fill ?? "transparent";
      const xs = x[chosen[row + table.rows] - 1], ys = y[chosen[row + 2 * table.rows] - 1];
      if (style.shape) drawShapes(context, style, xs, ys);
      else drawLine(context, style, xs, ys);
    }
    context.restore();
  }
}

function drawShapes(context, style, xs, ys) {
  for (let k = 0; k < xs.length; k++) {
    context.translate(xs[k] / PARTS, ys[k] / PARTS);
    if (style.fill) context.fill(style.shape);
    if (style.stroke) context.stroke(style.shape);
    context.translate(-xs[k] / PARTS, -ys[k] / PARTS);
  }
}

function drawLine(context, style, xs, ys) {
  context.beginPath();
  let on = false;
  for (let k = 0; k < xs.length; k++) {
    if (ys[k] === GAP) on = false;
    else if (on) context.lineTo(xs[k] / PARTS, ys[k] / PARTS);
    else {
      context.moveTo(xs[k] / PARTS, ys[k] / PARTS);
      on = true;
    }
  }
  if (style.fill) context.fill();
  if (style.stroke) context.stroke();
}

// The canvas follows its width on the page and the screen's pixels; what does not move is scaled once for each size.
function makeCanvas(table) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  const [width, height] = table.size, ground = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.style.aspectRatio = `${width} / ${height}`;
  let wide = width; // in pixels of the page
  function resize(to = wide) {
    wide = to || width;
    const across = Math.max(1, Math.round(wide * (window.devicePixelRatio || 1)));
    if (ground.width === across) return;
    canvas.width = ground.width = across;
    canvas.height = ground.height = Math.round((across * height) / width);
    const paint = ground.getContext("2d");
    paint.imageSmoothingQuality = "high";
    paint.drawImage(table.pictures.get("background"), 0, 0, ground.width, ground.height);
  }
  function draw(shown, row) {
    resize();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(ground, 0, 0);
    context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
    context.imageSmoothingQuality = "high";
    drawRow(context, shown, row, table.pictures);
  }
  return { canvas, draw, resize };
}

// Controls -----------------------------------------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

let made = 0; // names and ids must be the page's only ones of their kind, though this module may be there twice
const newName = () => `gradutils-${Math.random().toString(36).slice(2)}-${made++}`;

// One slider: `offered` are the positions that it can take. `show` puts it there, with the label of what is drawn.
function makeControl(slider, offered, moved) {
  const id = newName();
  if (slider.kind === "radio") {
    const buttons = offered.map((k) => make("input", { type: "radio", name: id, onchange: () => moved(k) }));
    const options = buttons.map((button, k) => make("label", {}, button, slider.labels[offered[k]]));
    const element = make("div", { className: "control" }, make("span", { id, className: "name" }, slider.label),
      make("div", { className: "options" }, ...options));
    element.setAttribute("role", "radiogroup");
    element.setAttribute("aria-labelledby", id);
    return { element, show: (position) => { buttons[offered.indexOf(position)].checked = true; } };
  }
  const input = make("input", { id, type: "range", min: 0, max: offered.length - 1, step: 1 });
  const said = make("output", { htmlFor: id, ariaLive: "off" }); // the sentence says it
  input.addEventListener("input", () => moved(offered[input.valueAsNumber]));
  return {
    element: make("div", { className: "control" },
      make("label", { htmlFor: id, className: "name" }, slider.label), input, said),
    show(position, drawn) {
      const place = offered.indexOf(position);
      if (input.valueAsNumber !== place) input.value = place;
      said.textContent = slider.labels[drawn];
      input.setAttribute("aria-valuetext", slider.labels[drawn]);
    },
  };
}

// JupyterLab and Notebook 7 take the arrow keys for themselves wherever they are pressed. Heard first, on the window, they
// are kept for the slider that has the focus.
const KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", " "]);

function keepKeys() {
  const known = Symbol.for("gradutils keeps keys");
  if (window[known]) return;
  window[known] = true;
  window.addEventListener("keydown", (event) => {
    const target = event.composedPath()[0];
    if (KEYS.has(event.key) && target.matches?.(".gradutils-explorer input")) event.stopPropagation();
  }, true);
}

// The whole ----------------------------------------------------------------------------------------------------------------

// options.at      the positions at first
// options.live    all positions are offered, not only those of the table: someone will `take` the rows between them
// options.moved   called with the positions whenever the reader has moved something
// What is returned: show(at) moves the explorer, take(bytes) brings one row, has(at) says whether it is there, remove() ends it.
export async function mount(element, bytes, options = {}) {
  const table = await unpack(bytes), { sliders } = table, { live, moved } = options;
  let at = options.at ?? sliders.map((slider) => slider.start);
  let frame = 0;
  const exact = new Map(); // rows that Python has sent, by position
  const nearest = sliders.map((slider) => slider.labels.map((_, k) => closest(slider.table, k)));
  const offered = sliders.map((slider) => (live ? slider.labels.map((_, k) => k) : slider.table));
  const controls = sliders.map((slider, k) => makeControl(slider, offered[k], (position) => turn(at.with(k, position))));
  const { canvas, draw, resize } = makeCanvas(table);
  const said = make("p", { className: "said" });
  said.setAttribute("role", "status");
  const root = make("div", { className: "gradutils-explorer" }, make("style", { textContent: STYLE }),
    make("div", { className: "controls" }, ...controls.map((control) => control.element)), said, canvas);
  element.replaceChildren(root);

  function turn(to) {
    show(to);
    moved?.(at);
  }
  function show(to) {
    at = to;
    frame ||= requestAnimationFrame(paint);
  }
  const has = (to) => exact.has(String(to)) || to.every((k, j) => sliders[j].table.includes(k));
  function paint() {
    frame = 0;
    const asked = exact.get(String(at));
    const drawn = asked ? at : at.map((k, j) => sliders[j].table[nearest[j][k]]);
    const row = asked ? 0 : at.reduce((sum, k, j) => sum * sliders[j].table.length + nearest[j][k], 0);
    const from = asked ?? table, sentence = from.sentences(row);
    draw(from, row);
    controls.forEach((control, j) => control.show(at[j], drawn[j]));
    if (said.textContent !== sentence) {
      said.textContent = sentence;
      canvas.setAttribute("aria-label", sentence);
    }
  }
  // A row that comes late is kept, and drawn only if the sliders still stand there.
  async function take(packed) {
    const row = await unpack(packed);
    row.pictures.forEach((picture, name) => table.pictures.set(name, picture));
    exact.set(String(row.at), row);
    if (exact.size > 500) exact.delete(exact.keys().next().value);
    if (String(row.at) === String(at)) frame ||= requestAnimationFrame(paint);
  }
  const watch = new ResizeObserver(() => {
    resize(canvas.clientWidth);
    paint();
  });
  watch.observe(canvas);
  keepKeys();
  paint();
  return { show, take, has, remove: () => { watch.disconnect(); cancelAnimationFrame(frame); root.remove(); } };
}

function closest(positions, k) {
  let best = 0;
  positions.forEach((position, j) => { if (Math.abs(position - k) < Math.abs(positions[best] - k)) best = j; });
  return best;
}

export async function mountUrl(element, url, options = {}) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return mount(element, await answer.arrayBuffer(), options);
}

async function render({ model, el }) {
  let view;
  const take = (_message, buffers) => view?.take(buffers[0]);
  const follow = () => view?.show(model.get("at"));
  model.on("msg:custom", take);
  model.on("change:at", follow);
  const tell = (at) => { // where a kernel is gone nothing answers, and the nearest row stays
    model.set("at", at);
    model.save_changes();
  };
  // Python hears of every move, and answers with the row where the table has none.
  view = await mount(el, model.get("table"), { at: model.get("at"), live: true, moved: tell });
  follow(); // Python may have moved it meanwhile
  try {
    if (!view.has(model.get("at"))) model.send({ missing: model.get("at") });
  } catch {
    // The kernel is gone: the nearest row stays.
  }
  return () => {
    model.off("msg:custom", take);
    model.off("change:at", follow);
    view.remove();
  };
}

export default { render };
