// The live view of an answer. Blocks that are closed are appended once, as HTML that the kernel
// has sanitised; the block that still grows is replaced, or, if it is code, its text appended to.

// anywidget calls this once for each widget, so `frames` are those of one answer; its `model`
// objects differ from call to call and cannot carry them.
export default () => {
  const frames = [];
  const views = new Set();

  function initialize({ model }) {
    model.on("msg:custom", (frame) => {
      frames.push(frame);
      for (const show of views) show(frame);
    });
  }

  function render({ model, el }) {
    const closed = part("div", "qianfan-closed");
    const open = part("div", "qianfan-open");
    const state = part("div", "qianfan-state");
    const says = part("span", "qianfan-waiting", `${model.get("asked")}: waiting …`);
    says.setAttribute("role", "status");
    state.append(says);
    const stop = stopButton(model);
    if (stop) state.append(stop);
    el.classList.add("qianfan-reply", "jp-RenderedHTMLCommon");
    el.append(closed, open, state);

    function show(frame) {
      if (says.className) {
        says.className = "";
        says.textContent = `${model.get("asked")}: streaming`;
      }
      if (frame.closed) closed.insertAdjacentHTML("beforeend", frame.closed);
      if (typeof frame.more === "string") {
        const code = open.querySelector("code") ?? open.querySelector("pre");
        code?.append(document.createTextNode(frame.more));
      } else {
        open.innerHTML = frame.open;
      }
    }
    // A view that comes late starts with all there is.
    for (const frame of frames) show(frame);
    views.add(show);
    return () => views.delete(show);
  }

  return { initialize, render };
};

function part(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
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
