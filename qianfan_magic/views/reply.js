// The live view of answers. What the kernel sends is HTML that it has sanitised. Blocks that are
// closed stay as they are; the block that still grows is changed where it differs, so that what
// the reader has selected stays selected.

// anywidget calls this once for each widget, so `messages` are those of one; its `model` objects
// differ from call to call and cannot carry them.
export default () => {
  const messages = [];
  const views = new Set();

  function initialize({ model }) {
    model.on("msg:custom", (message) => {
      messages.push(message);
      for (const show of views) show(message);
    });
  }

  function render({ model, el }) {
    const titles = model.get("titles");
    const typeset = typesetter(model);
    el.classList.add("qianfan-reply", "jp-RenderedHTMLCommon");
    el.classList.toggle("qianfan-columns", titles.length > 0);
    const columns = model.get("asked").map((asked, i) => new Column(asked, titles[i], typeset));
    el.append(...columns.map((column) => column.element));
    const stop = stopButton(model);
    if (stop) columns.at(-1).state.append(stop);

    function show(message) {
      const follow = following(columns);
      for (const frame of message.frames ?? []) columns[frame.column ?? 0].show(frame);
      if (message.end) {
        stop?.remove();
        columns.forEach((column, i) => column.end(message.end[i]));
        watchForTheEnd(el);
      }
      follow();
    }
    // A view that comes late starts with all there is.
    for (const message of messages) show(message);
    views.add(show);
    return () => views.delete(show);
  }

  return { initialize, render };
};

class Column {
  constructor(asked, title, typeset) {
    this.asked = asked;
    this.typeset = typeset;
    this.closed = 0; // nodes of the body that stay as they are
    this.open = ""; // HTML of the block that still grows
    this.element = part("section", "qianfan-column");
    this.body = part("div", "qianfan-body");
    this.state = part("div", "qianfan-state");
    this.word = part("span", "qianfan-waiting", `${asked}: waiting …`);
    this.word.setAttribute("role", "status");
    this.figures = part("span", "qianfan-figures");
    this.state.append(this.word, this.figures);
    if (title) this.element.append(part("strong", "qianfan-title", title));
    this.element.append(this.body, this.state);
  }

  show(frame) {
    this.last = frame;
    this.figures.textContent = figures(frame);
    if (frame.thinking) this.think(frame.thinking);
    const answers = frame.more || frame.open || frame.closed;
    if (!answers) return;
    if (this.thoughts?.open && !this.answered) this.thoughts.open = this.kept;
    this.answered = true;
    this.says(`${this.asked}: streaming`);
    if (typeof frame.more === "string") {
      this.open = "";
      appendText(this.body, frame.more);
      return;
    }
    this.open = this.open.slice(0, frame.keep ?? 0) + (frame.open ?? "");
    const closed = parsed(frame.closed ?? "");
    const before = this.closed;
    this.closed += closed.childNodes.length;
    closed.append(parsed(this.open));
    change(this.body, closed, before);
    const fresh = [...this.body.childNodes].slice(before).filter((node) => node.querySelectorAll);
    this.typeset(fresh.flatMap((node) => [...node.querySelectorAll(MATHEMATICS)]));
    const settled = [...this.body.childNodes].slice(before, this.closed);
    settled.filter((node) => node.querySelectorAll).forEach(addCopyButtons);
  }

  // What the model thinks stands above the answer, open while it runs; then it is folded away,
  // unless the reader has opened it.
  think(text) {
    if (!this.thoughts) {
      this.thoughts = part("details", "qianfan-thoughts");
      this.thoughts.open = true;
      this.kept = false;
      const summary = part("summary", "", "Thinking");
      summary.addEventListener("click", () => (this.kept = !this.thoughts.open));
      this.thoughts.append(summary, part("div", "qianfan-thought"));
      this.body.before(this.thoughts);
    }
    this.thoughts.lastChild.append(text);
    if (!this.answered) this.says(`${this.asked}: thinking`);
  }

  end(line) {
    this.says(line); // it has the tokens
    this.figures.textContent = figures({ ...this.last, counted: true });
  }

  says(text) {
    if (this.word.textContent === text) return;
    this.word.className = "";
    this.word.textContent = text;
  }
}

const MATHEMATICS = "span.mathjax_process";

function part(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function figures({ first, tokens, about, took, counted }) {
  const said = [];
  const count = tokens ?? about;
  const nearly = tokens === undefined ? "≈ " : "";
  if (first !== undefined) said.push(`first token after ${first.toFixed(1)} s`);
  if (count && !counted) said.push(`${nearly}${count} tokens`);
  if (count && took >= 0.5) said.push(`${nearly}${Math.round(count / took)} tokens/s`);
  return said.join(" · ");
}

// Text of growing code goes behind what is there.
function appendText(body, text) {
  const code = body.lastElementChild?.querySelector("code") ?? body.lastElementChild;
  if (code?.lastChild?.nodeType === Node.TEXT_NODE) code.lastChild.appendData(text);
  else code?.append(text);
}

// Make the children of `old`, from one on, equal to those of `fresh`; leave alone what is equal.
function change(old, fresh, from = 0) {
  const nodes = [...fresh.childNodes];
  nodes.forEach((node, i) => {
    const there = old.childNodes[from + i];
    if (!there) old.append(node);
    else if (there.source !== undefined && there.source === node.textContent) return;
    else if (there.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
      changeText(there, node.data);
    } else if (there.cloneNode(false).isEqualNode(node.cloneNode(false)) && !there.source) {
      change(there, node);
    } else there.replaceWith(node);
  });
  while (old.childNodes.length > from + nodes.length) old.lastChild.remove();
}

function changeText(there, text) {
  if (there.data === text) return;
  let same = 0;
  while (same < there.length && there.data[same] === text[same]) same += 1;
  there.replaceData(same, there.length - same, text.slice(same));
}

// JupyterLab's own typesetter; where there is none the formula stays as it was written.
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

// While a cell runs the kernel handles no widget message, so the button interrupts it from here.
// Where a front end has no such kernel (VS Code, Colab) there is no button.
function stopButton(model) {
  const kernel = model.widget_manager?.kernel;
  if (typeof kernel?.interrupt !== "function") return null;
  const button = part("button", "qianfan-stop", "Stop");
  button.type = "button";
  button.title = "Stop the answer; what has arrived is kept";
  button.addEventListener("click", () => {
    button.disabled = true;
    kernel.interrupt();
  });
  return button;
}

// Follow the end while the reader is there: where a state line was in view, scroll by as much as
// has come above it, or gone when long thoughts are folded. Who reads above, in the thoughts, finds
// the line under which they are folded.
function following(columns) {
  const scroller = scrollerOf(columns[0].state);
  if (!scroller) return () => {};
  const view = scroller.getBoundingClientRect();
  const bottoms = () => columns.map(({ state }) => state.getBoundingClientRect().bottom);
  const before = bottoms();
  const isSeen = (bottom) => bottom > view.top && bottom <= view.bottom + 4;
  const seen = columns.filter((_, i) => isSeen(before[i]));
  const read = columns.map((column) => column.thoughts).find((part) => part && crosses(part, view));
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

function crosses(element, view) {
  const { top, bottom } = element.getBoundingClientRect();
  return top < view.top && bottom > view.top;
}

function scrollerOf(element) {
  for (let at = element.parentElement; at; at = at.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(at).overflowY);
    if (scrolls && at.scrollHeight > at.clientHeight + 1) return at;
  }
  return null;
}

// Plain output is about to take the view's place. Keep the height meanwhile, so that the page does
// not jump; then select again what was selected, leave thoughts open that were, and put copy
// buttons beside the code.
function watchForTheEnd(view) {
  const area = view.closest(".jp-OutputArea");
  if (!area) return;
  const selected = selectionWithin(view);
  const opened = [...view.querySelectorAll(".qianfan-thoughts")].map((thoughts) => thoughts.open);
  area.style.minHeight = `${area.offsetHeight}px`;
  const observer = new MutationObserver(finish);
  const timeout = setTimeout(settle, 5000);
  observer.observe(area, { childList: true, subtree: true });

  function finish() {
    const answer = [...area.querySelectorAll(".qianfan-answer")].at(-1);
    if (!answer || view.isConnected) return;
    settle();
    answer.querySelectorAll(".qianfan-thoughts").forEach((thoughts, i) => {
      thoughts.open = opened[i] ?? false;
    });
    addCopyButtons(answer);
    if (selected) select(answer, selected);
  }

  function settle() {
    clearTimeout(timeout);
    observer.disconnect();
    requestAnimationFrame(() => area.style.removeProperty("min-height"));
  }
}

// A selection in letters from the beginning, white space aside: it may differ in the plain output.
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

function pointAt(root, place) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let left = place; texts.nextNode(); ) {
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
    // Its word comes from the style sheet, so that it is no part of the code's text.
    const button = part("button", "qianfan-copy");
    button.type = "button";
    button.setAttribute("aria-label", "Copy the code");
    button.addEventListener("click", () => copy(block.textContent, button));
    block.classList.add("qianfan-copied");
    block.append(button);
  }
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP from another host a browser has no clipboard for scripts.
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
