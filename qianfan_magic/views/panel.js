// The sliders: the front-end half of Panel in panel.py. The notebook keeps a plain table of the
// values, since a saved widget would reopen as an error. Where the table of the newest panel appears,
// this replaces it by controls; those of older panels stay tables.

export default () => {
  const areas = new Map(); // elements in which a table may appear, with their observers
  // The model that `initialize` gets. anywidget (0.11) removes the listeners of a view's own
  // `model` when the view ends, and views end here while their controls stay.
  let model;

  function initialize(widget) {
    model = widget.model;
    // After a reload no view is rendered, since the notebook holds only the table. It belongs to
    // this kernel if the page shows a single notebook.
    const notebooks = document.querySelectorAll(".jp-NotebookPanel, .jp-Notebook");
    const panels = document.querySelectorAll(".jp-NotebookPanel");
    if (panels.length === 1 || (!panels.length && notebooks.length)) watch(notebooks[0]);
  }

  async function render({ el }) {
    el.classList.add("qianfan-params");
    mount(el, model, unwatch);
    const area = await areaOf(el);
    if (!area) return; // not JupyterLab: the widget itself stays
    watch(area);
    model.send({ click: "shown" });
  }

  function watch(area) {
    if (areas.has(area)) return;
    const mountTables = () => {
      const current = model.get("current");
      if (!current) return;
      const hosts = area.querySelectorAll(`.${current}:has(> div > table)`);
      hosts.forEach((host) => mount(host, model, unwatch));
    };
    const observer = new MutationObserver(mountTables);
    areas.set(area, observer);
    observer.observe(area, { childList: true, subtree: true });
    mountTables();
  }

  // A table of the next kernel may have the same number, and is not this model's.
  function unwatch() {
    areas.forEach((observer) => observer.disconnect());
  }

  return { initialize, render };
};

// Returns the output area of a view. A view is rendered before it is attached to the page.
async function areaOf(el) {
  for (let tries = 0; tries < 100 && !el.isConnected; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return el.closest(".jp-OutputArea");
}

function part(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

// Translations of the messages of this script; empty in English. Set before anything is shown.
let translations = {};

// Translates a message and fills in its names in braces.
function tr(message, values = {}) {
  return (translations[message] ?? message).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// Puts the controls of a model into an element; `onLost` is called when its kernel is gone.
function mount(host, model, onLost) {
  host.replaceChildren();
  translations = model.get("translations");
  // Keeps JupyterLab's shortcuts (arrow keys select another cell) from acting on what is typed
  // here.
  host.setAttribute("data-lm-suppress-shortcuts", "true");
  host.addEventListener("keydown", (event) => event.stopPropagation());
  const controls = part("form", "qianfan-controls");
  controls.setAttribute("aria-label", tr("Parameters of every cell from the next one on"));
  controls.noValidate = true; // the kernel checks values, and says what is wrong with one
  controls.addEventListener("submit", (event) => event.preventDefault());
  const all = part("fieldset", "qianfan-fieldset"); // disabled, it disables all that is in it
  const table = part("div", "");
  let rows = [];
  const advice = part("p", "qianfan-note qianfan-advice");
  const message = part("p", "qianfan-message");
  for (const element of [advice, message]) element.setAttribute("role", "status");
  const question = part("p", "qianfan-question");
  const again = button(tr("Again"), tr("Ask this question once more, with these values"));
  again.classList.add("qianfan-primary");
  const keep = button(tr("Keep"), tr("Replace the cell's answer with the new one"));
  again.addEventListener("click", () => {
    again.disabled = true;
    model.send({ click: "again" });
  });
  keep.addEventListener("click", () => model.send({ click: "keep" }));
  const buttons = part("div", "qianfan-buttons");
  buttons.append(again, keep, question);
  all.append(table, advice, buttons);
  controls.append(all, message);
  const answer = part("div", "qianfan-again");
  host.append(controls, answer);
  // The notebook's table follows when the reader is done with the controls: it replaces them.
  controls.addEventListener("focusout", ({ relatedTarget }) => {
    if (!host.contains(relatedTarget) && document.hasFocus()) model.send({ click: "left" });
  });

  let wasAttached = false;
  const update = () => {
    wasAttached ||= host.isConnected;
    if (wasAttached && isRemoved(host)) return removeListeners();
    rows.forEach((row) => row.show(model.get("values"), model.get("errors")));
    advice.textContent = model.get("advice");
    message.textContent = model.get("message");
    question.textContent = model.get("question");
    again.disabled = !model.get("can_ask");
    keep.disabled = !model.get("can_keep");
  };
  const build = () => {
    rows = makeTable(table, model);
    update();
  };
  const showReply = () => embed(model, answer);
  const lose = () => {
    all.disabled = true;
    message.textContent = tr("The kernel was restarted or shut down: run this cell again.");
    message.classList.add("qianfan-error");
    removeListeners();
    onLost();
  };
  const events = [
    ["change:offer", build],
    ["change:values change:errors change:advice change:message change:question", update],
    ["change:can_ask change:can_keep change:clicks", update],
    ["change:reply", showReply],
    ["comm_live_update destroy", lose],
  ];
  const removeListeners = () =>
    events.forEach(([names, call]) => each(names, (n) => model.off(n, call)));
  events.forEach(([names, call]) => each(names, (name) => model.on(name, call)));
  model.widget_manager?.kernel?.disposed?.connect(lose);
  build();
  showReply();
}

function each(names, call) {
  names.split(" ").forEach(call);
}

// JupyterLab detaches cells that are scrolled out of view, together with their output areas.
// Controls without an output area have been removed for good.
function isRemoved(host) {
  return host.closest(".jp-OutputArea") === null;
}

function button(text, title) {
  const element = part("button", "qianfan-button", text);
  element.type = "button";
  element.title = title;
  return element;
}

// Shows the widget of the answer to "Again".
async function embed(model, place) {
  const id = model.get("reply");
  place.replaceChildren();
  if (!id) return;
  const child = await model.widget_manager.get_model(id);
  const view = await model.widget_manager.create_view(child);
  // The id may have changed while the view was created.
  if (model.get("reply") === id) place.replaceChildren(view.el);
}

// Fills the table with a row for each parameter: first those that the model takes, then, folded,
// the others. Returns the rows.
function makeTable(table, model) {
  const { heading, model: name, taken, others } = model.get("offer");
  const head = part("div", "qianfan-row qianfan-head");
  head.append(
    part("span", "qianfan-heading", heading),
    part("span", "qianfan-default", tr("default")),
    part("span", "qianfan-set", tr("set")),
  );
  const rows = [...taken, ...others].map((row) => makeRow(row, model));
  const elements = rows.map((row) => row.element);
  table.replaceChildren(head, ...elements.slice(0, taken.length));
  if (others.length) {
    const folded = part("details", "");
    const more = tr("{count} more, which {name} does not take", { count: others.length, name });
    const summary = part("summary", "", more);
    folded.append(summary, ...elements.slice(taken.length));
    table.append(folded);
  }
  return rows;
}

let labels = 0; // how many there are, since each refers to its control by a unique id

// Makes the row of one parameter: its name, its control, its range (or what is wrong with its
// value), its default, and a checkbox that says whether it is set; otherwise the service decides.
function makeRow(row, model) {
  const element = part("div", "qianfan-row");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", row.name);
  element.title = row.help;
  const inputs = makeInputs(row);
  const label = part("label", "qianfan-name", row.name);
  inputs[0].id = label.htmlFor = `qianfan-control-${(labels += 1)}`;
  const asNumber = tr("{name}, as a number", { name: row.name });
  inputs.slice(1).forEach((input) => input.setAttribute("aria-label", asNumber));
  const controls = part("div", "qianfan-inputs");
  controls.append(...inputs);
  const isSet = part("input", "qianfan-set");
  isSet.type = "checkbox";
  isSet.title = tr("Whether it is set; otherwise the service decides");
  isSet.setAttribute("aria-label", tr("set {name}", { name: row.name }));
  const range = part("span", "qianfan-range", row.range);
  const fallback = part("span", "qianfan-default", String(row.default ?? tr("service")));
  element.append(label, controls, range, fallback, isSet);

  function save(value) {
    const values = { ...model.get("values") };
    if (value === undefined) delete values[row.name];
    else values[row.name] = value;
    model.set("values", values);
    model.save_changes();
  }
  for (const input of inputs) {
    input.addEventListener("input", () => {
      markSet(true);
      const others = inputs.filter((other) => other !== input);
      if (input.value) others.forEach((other) => (other.value = input.value));
    });
    input.addEventListener("change", () => save(read(row, input)));
    input.addEventListener("keydown", ({ key }) => {
      if (input.type === "number" && !input.value && /^Arrow(Up|Down)$/.test(key)) {
        input.value = row.default ?? ""; // the first step starts from there
      }
    });
  }
  isSet.addEventListener("change", () => {
    const least = row.choices?.[0] ?? row.minimum ?? undefined;
    save(isSet.checked ? (read(row, inputs[0]) ?? row.default ?? least) : undefined);
  });
  function markSet(set) {
    element.classList.toggle("qianfan-off", !set);
    isSet.checked = set;
    // A slider cannot be empty; without this a screen reader would read its position as the value.
    if (inputs[0].type !== "range") return;
    if (set) inputs[0].removeAttribute("aria-valuetext");
    else {
      const value = row.default ?? tr("the service decides");
      inputs[0].setAttribute("aria-valuetext", tr("default: {value}", { value }));
    }
  }
  function show(values, errors) {
    markSet(row.name in values);
    write(row, inputs, values[row.name]);
    range.textContent = errors[row.name] ?? row.range;
    range.classList.toggle("qianfan-error", row.name in errors);
    inputs.forEach((input) => input.setAttribute("aria-invalid", row.name in errors));
  }
  return { element, show };
}

function makeInputs(row) {
  if (row.kind === "texts") {
    const text = part("input", "qianfan-texts");
    text.type = "text";
    text.placeholder = tr("texts, with | between them");
    return [text];
  }
  if (row.kind === "choice") {
    const select = part("select", "qianfan-choice");
    for (const value of ["", ...row.choices]) select.append(part("option", "", String(value)));
    select.options[0].text = tr("default");
    select.options[0].value = "";
    return [select];
  }
  const number = part("input", "qianfan-number");
  Object.assign(number, { type: "number", step: row.step });
  number.placeholder = row.default ?? "–";
  if (row.minimum !== undefined && row.kind === "number") number.min = row.minimum;
  if (row.kind === "number") return [number];
  const slider = part("input", "qianfan-slider");
  Object.assign(slider, { type: "range", min: row.minimum, max: row.maximum, step: row.step });
  return [slider, number];
}

function read(row, input) {
  if (row.kind === "texts") {
    const texts = input.value.split("|").filter((text) => text);
    return texts.length ? texts.map((text) => text.replaceAll("\\n", "\n")) : undefined;
  }
  if (input.value === "") return undefined;
  if (row.kind === "choice") return row.choices.find((value) => String(value) === input.value);
  return Number(input.value);
}

function write(row, inputs, value) {
  for (const input of inputs) {
    const text = row.kind === "texts" ? value?.join("|").replaceAll("\n", "\\n") : value;
    const isSlider = input.type === "range"; // it cannot be empty
    input.value = text ?? (isSlider ? (row.default ?? (row.minimum + row.maximum) / 2) : "");
  }
}
