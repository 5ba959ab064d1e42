// The live view of answers: the front-end half of LiveReply in live.py. The kernel sends sanitised
// HTML. Closed blocks are never touched again; the open block is patched where it differs, so that
// the reader's selection survives.

// anywidget (0.11) calls this once for each widget model, so `messages` belong to one model. The
// `model` objects that it passes differ from call to call and cannot hold them.
export default () => {
  const messages = [];
  const views = new Set();

  function initialize({ model }) {
    model.on("msg:custom", (message) => {
      messages.push(message);
      for (const show of views) show(message);
    });
    model.on("destroy", letGo);
  }

  function render({ model, el }) {
    translations = model.get("translations");
    const titles = model.get("titles");
    const typeset = typesetter(model);
    el.classList.add("qianfan-reply", "jp-RenderedHTMLCommon");
    el.classList.toggle("qianfan-columns", titles.length > 0);
    const parameters = model.get("parameters");
    const columns = model
      .get("services")
      .map((service, i) => new Column(service, titles[i], parameters[i], typeset));
    el.append(...columns.map((column) => column.element));
    el.style.setProperty("--most", model.get("most_in_a_row"));
    const stop = stopButton(model, titles.length ? tr("Stop all") : tr("Stop"));
    const answer = answerer(model);
    if (stop) (titles.length ? el : columns[0].state).append(stop);

    function show(message) {
      const follow = following(columns);
      for (const frame of message.frames ?? []) {
        const column = columns[frame.column ?? 0];
        if (frame.call) column.showCall(frame);
        else if (frame.allow) column.ask(frame, answer);
        else column.show(frame);
      }
      if (message.end) {
        stop?.remove();
        columns.forEach((column, i) => column.end(message.end[i]));
        preparePlainOutput(el, message.end, message.paces);
      }
      follow();
    }
    // A view that is created late, for example in a second window, replays all messages.
    for (const message of messages) show(message);
    views.add(show);
    return () => views.delete(show);
  }

  return { initialize, render };
};

// JupyterLab (4.6) holds every comm for as long as its kernel runs, also closed ones: the comm listens
// to the kernel's status. With it stay its callbacks, and with these the model, its views and all
// their elements. So a closed comm's callbacks are removed.
function letGo({ comm }) {
  const held = comm?.jsServicesComm;
  if (held) held.onMsg = held.onClose = undefined;
}

// Translations of the messages of this script; empty in English. Set before anything is shown.
let translations = {};

// Translates a message and fills in its names in braces.
function tr(message, values = {}) {
  return (translations[message] ?? message).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

class Column {
  constructor(service, title, parameters, typeset) {
    this.service = service;
    this.typeset = typeset;
    this.closed = 0; // number of the body's nodes that belong to closed blocks
    this.open = ""; // HTML of the open block
    this.calls = []; // the elements of the calls of functions
    this.element = part("section", "qianfan-column");
    this.body = part("div", "qianfan-body");
    this.state = part("div", "qianfan-state");
    this.status = part("span", "qianfan-waiting", joinParts(service, tr("waiting …")));
    this.status.setAttribute("role", "status"); // screen readers announce its changes
    this.figures = part("span", "qianfan-figures");
    this.state.append(this.status, this.figures);
    if (parameters) this.state.append(part("span", "", parameters));
    if (title) this.element.append(part("p", "qianfan-title", title));
    this.element.append(this.body, this.state);
  }

  // Applies a frame; `LiveColumn.frame` in live.py lists its fields.
  show(frame) {
    this.figures.textContent = frame.figures;
    if (frame.thinking) this.showReasoning(frame.thinking);
    const hasAnswer = frame.more || frame.open || frame.closed;
    if (!hasAnswer) return;
    if (this.thoughts?.open && !this.answered) this.thoughts.open = this.pinned;
    this.answered = true;
    this.setStatus(joinParts(this.service, tr("streaming")));
    if (typeof frame.more === "string") {
      this.open = "";
      appendText(this.body, frame.more);
      return;
    }
    this.open = this.open.slice(0, frame.keep ?? 0) + (frame.open ?? "");
    const blocks = parseHtml(frame.closed ?? "");
    const before = this.closed;
    this.closed += blocks.childNodes.length;
    blocks.append(parseHtml(this.open));
    patch(this.body, blocks, before);
    const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
    const changed = [...this.body.childNodes].slice(before).filter(isElement);
    this.typeset(changed.flatMap((node) => [...node.querySelectorAll(FORMULAS)]));
    const newlyClosed = [...this.body.childNodes].slice(before, this.closed);
    newlyClosed.filter(isElement).forEach(addCopyButtons);
  }

  // The model's reasoning stands above the answer. It is unfolded until the answer begins, and
  // stays so only if the reader has unfolded it by hand.
  showReasoning(text) {
    if (!this.thoughts) {
      this.thoughts = part("details", "qianfan-thoughts");
      this.thoughts.open = true;
      this.pinned = false;
      const summary = part("summary", "qianfan-unfold", tr("Thinking"));
      summary.addEventListener("click", () => (this.pinned = !this.thoughts.open));
      this.thoughts.append(summary, part("div", "qianfan-thought"));
      this.body.before(this.thoughts);
    }
    this.thoughts.lastChild.append(text);
    if (!this.answered) this.setStatus(joinParts(this.service, "thinking"));
  }

  // Shows a call of a function, and later the same call with its result; `LiveColumn.call_frames`
  // in live.py lists the fields. Nothing above it changes any more.
  showCall({ number, call, status }) {
    this.setStatus(joinParts(this.service, status));
    const fresh = parseHtml(call).firstElementChild;
    const shown = this.calls[number];
    this.calls[number] = fresh;
    if (shown) {
      fresh.open = shown.open;
      this.buttons?.remove(); // in another window than the one where they were clicked
      shown.replaceWith(fresh);
      return;
    }
    if (this.thoughts?.open && !this.answered) this.thoughts.open = this.pinned;
    this.answered = true;
    this.body.append(fresh);
    this.closed = this.body.childNodes.length;
    this.open = "";
  }

  // Asks whether a call may be made; `answer` sends the click to the kernel.
  ask({ ask, allow, refuse }, answer) {
    const buttons = part("p", "qianfan-ask");
    for (const [label, value] of [[tr("Make this call"), allow], [tr("Do not"), refuse]]) {
      const button = part("button", "qianfan-stop", label);
      button.type = "button";
      button.addEventListener("click", () => {
        buttons.remove();
        answer(value);
      });
      buttons.append(button);
    }
    this.buttons = buttons;
    this.calls[ask].after(buttons);
    this.setStatus(joinParts(this.service, tr("waiting for you …")));
  }

  // The parts are those of `AnswerOutput.lines` in rendering/answer.py.
  end([head, pace]) {
    this.setStatus(head);
    this.figures.textContent = pace;
  }

  setStatus(text) {
    if (this.status.textContent === text) return; // a screen reader would announce it again
    this.status.className = "";
    this.status.textContent = text;
  }
}

const FORMULAS = "span.mathjax_process";
// What the reader may have unfolded.
const FOLDED = ".qianfan-thoughts, .qianfan-call";

function part(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// A template's content is inert: no script runs and no image loads while HTML is parsed.
function parseHtml(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// As in views/rendering/state_line.py.
function joinParts(...parts) {
  return parts.filter((part) => part).join(" \u00b7 ");
}

// Appends text to the code of the open block.
function appendText(body, text) {
  const code = body.lastElementChild?.querySelector("code") ?? body.lastElementChild;
  if (code?.lastChild?.nodeType === Node.TEXT_NODE) code.lastChild.appendData(text);
  else code?.append(text);
}

// Makes the children of `old`, from index `from` on, equal to those of `fresh`, and leaves alone
// whatever is equal already. A formula that has been typeset is compared by its source.
function patch(old, fresh, from = 0) {
  const nodes = [...fresh.childNodes];
  nodes.forEach((node, i) => {
    const current = old.childNodes[from + i];
    if (!current) old.append(node);
    else if (current.source !== undefined && current.source === node.textContent) return;
    else if (current.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
      patchText(current, node.data);
    } else if (current.cloneNode(false).isEqualNode(node.cloneNode(false)) && !current.source) {
      patch(current, node);
    } else current.replaceWith(node);
  });
  while (old.childNodes.length > from + nodes.length) old.lastChild.remove();
}

// Replaces only the end that differs: a selection in the unchanged part stays.
function patchText(node, text) {
  const before = node.data; // reading it for each character would be slow
  if (before === text) return;
  let same = 0;
  while (same < before.length && before[same] === text[same]) same += 1;
  node.replaceData(same, node.length - same, text.slice(same));
}

// Uses JupyterLab's typesetter (4.6). Other front ends may have none: the formula stays TeX source.
function typesetter(model) {
  const latex = model.widget_manager?.rendermime?.latexTypesetter;
  return (formulas) => {
    for (const formula of formulas) {
      if (formula.source !== undefined) continue;
      formula.source = formula.textContent;
      latex?.typeset(formula);
    }
  };
}

// ipykernel 7.4 handles no widget messages while a cell runs, so a Python callback could not stop
// it; the button interrupts the kernel from the page. Elsewhere than in JupyterLab and its kin a
// widget cannot do that, and there is no button: Colab shows no kernel, and in VS Code's pages the
// kernel is there, but has no server to which the request could go.
function stopButton(model, label) {
  const kernel = model.widget_manager?.kernel;
  const isVsCode =
    location.protocol === "vscode-webview:" || location.hostname.endsWith(".vscode-cdn.net");
  if (typeof kernel?.interrupt !== "function" || isVsCode) return null;
  const button = part("button", "qianfan-stop", label);
  button.type = "button";
  button.title = tr("Ends the cell; what has arrived is kept");
  button.addEventListener("click", () => {
    button.disabled = true;
    kernel.interrupt();
  });
  return button;
}

// Returns a function that sends a click to the kernel while a cell is running: as the answer to
// `input()`, for which the kernel has a socket of its own; see consent.py.
function answerer(model) {
  const kernel = model.widget_manager?.kernel;
  return (value) => kernel?.sendInputReply({ status: "ok", value }, {});
}

// Keeps the reader's place. Call it before a change; it returns a function to call after the
// change. If a state line was in view, the reader follows the end: scroll by as much as was
// inserted above it, or removed when long reasoning was folded. If the reader was inside the
// reasoning, and it was folded, scroll to the line that unfolds it.
function following(columns) {
  const scroller = scrollerOf(columns[0].state);
  if (!scroller) return () => {};
  const view = scroller.getBoundingClientRect();
  const bottoms = () => columns.map(({ state }) => state.getBoundingClientRect().bottom);
  const before = bottoms();
  const isSeen = (bottom) => bottom > view.top && bottom <= view.bottom + 4;
  const seen = columns.filter((_, i) => isSeen(before[i]));
  const read = columns.map((column) => column.thoughts).find((part) => part && covers(part, view));
  return () => {
    const after = bottoms();
    const moved = columns.flatMap((column, i) => (seen.includes(column) ? [i] : []));
    const over = Math.max(...moved.map((i) => after[i])) - view.bottom;
    if (over > 0 && Number.isFinite(over)) scroller.scrollTop += over;
    else if (moved.length && moved.every((i) => after[i] <= view.top)) {
      scroller.scrollTop += after[moved[0]] - before[moved[0]];
    } else if (!moved.length && read && read.getBoundingClientRect().bottom <= view.top) {
      scroller.scrollTop += read.getBoundingClientRect().top - view.top;
    }
  };
}

function covers(element, view) {
  const { top, bottom } = element.getBoundingClientRect();
  return top < view.top && bottom > view.top;
}

function scrollerOf(element) {
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(parent).overflowY);
    if (scrolls && parent.scrollHeight > parent.clientHeight + 1) return parent;
  }
  return null;
}

// Called when plain output is about to replace the view. Fixes the area's height until then, so
// that the page does not jump; afterwards restores the selection, unfolds the reasoning that was
// unfolded, and adds copy buttons and the pace of each answer, which is not saved.
function preparePlainOutput(view, lines, paces) {
  const area = view.closest(".jp-OutputArea");
  if (!area) return;
  const selected = selectionWithin(view);
  const opened = [...view.querySelectorAll(FOLDED)].map((folded) => folded.open);
  area.style.minHeight = `${area.offsetHeight}px`;
  const observer = new MutationObserver(finish);
  const timeout = setTimeout(release, 5000); // the output may never come
  observer.observe(area, { childList: true, subtree: true });

  function finish() {
    const answer = [...area.querySelectorAll(".qianfan-answer")].at(-1);
    if (!answer || view.isConnected) return;
    release();
    answer.querySelectorAll(FOLDED).forEach((folded, i) => {
      folded.open = opened[i] ?? false;
    });
    addCopyButtons(answer);
    addPaces(answer, lines);
    answer.querySelectorAll(".qianfan-call > summary").forEach((line, i) => {
      if (paces?.[i]) line.append(` \u00b7 ${paces[i]}`);
    });
    if (selected) select(answer, selected);
  }

  function release() {
    clearTimeout(timeout);
    observer.disconnect();
    requestAnimationFrame(() => area.style.removeProperty("min-height"));
  }
}

// Shows the pace of each answer within its last line, which plain output has without it.
function addPaces(answer, lines) {
  const paragraphs = [...answer.querySelectorAll("p")];
  for (const [head, pace, parameters] of lines.toReversed()) {
    const line = joinParts(head, parameters);
    while (paragraphs.length && paragraphs.at(-1).textContent !== line) paragraphs.pop();
    const text = paragraphs.pop()?.firstChild;
    if (text && pace) text.splitText(head.length).before(` \u00b7 ${pace}`);
  }
}

// Returns the selection as offsets that count letters but no white space, in which the live view
// and the plain output may differ.
function selectionWithin(root) {
  const selection = document.getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!root.contains(range.commonAncestorContainer)) return null;
  const before = document.createRange();
  before.setStart(root, 0);
  before.setEnd(range.startContainer, range.startOffset);
  const start = letters(before.toString());
  return { start, end: start + letters(range.toString()) };
}

function letters(text) {
  return text.replace(/\s/g, "").length;
}

function select(root, { start, end }) {
  const first = pointAt(root, start);
  const last = pointAt(root, end - 1);
  if (first && last) document.getSelection().setBaseAndExtent(...first, last[0], last[1] + 1);
}

function pointAt(root, offset) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let left = offset; texts.nextNode(); ) {
    const text = texts.currentNode;
    for (let i = 0; i < text.length; i += 1) {
      if (/\s/.test(text.data[i])) continue;
      if (left === 0) return [text, i];
      left -= 1;
    }
  }
  return null;
}

function addCopyButtons(root) {
  const blocks = root.matches("pre") ? [root] : root.querySelectorAll("pre");
  for (const block of blocks) {
    if (block.querySelector(".qianfan-copy")) continue;
    // The button's label is shown by reply.css, so that it is not part of the code's text.
    const button = part("button", "qianfan-copy");
    Object.assign(button.dataset, { copy: tr("Copy"), copied: tr("Copied") });
    button.type = "button";
    button.setAttribute("aria-label", tr("Copy the code"));
    const language = block.querySelector("code")?.className.match(/language-(\S+)/)?.[1];
    if (language) button.dataset.language = language;
    button.addEventListener("click", () => copy(block.textContent, button));
    block.classList.add("qianfan-copied");
    block.append(button);
  }
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers offer the clipboard only in a secure context: not over plain HTTP from another host.
    const area = part("textarea", "");
    area.value = text;
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.classList.add("qianfan-done");
  setTimeout(() => button.classList.remove("qianfan-done"), 1500);
}
