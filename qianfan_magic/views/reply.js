// The live view of an answer: text is appended as it arrives, never written again.
// Everything is a text node: nothing an answer says is read as HTML.

// anywidget calls this once for each widget, so `pieces` is the answer of one; its `model`
// objects differ from call to call and cannot carry it.
export default () => {
  const pieces = [];
  const views = new Set();

  function initialize({ model }) {
    model.on("msg:custom", ({ delta }) => {
      if (typeof delta !== "string") return;
      pieces.push(delta);
      for (const append of views) append(delta);
    });
  }

  function render({ model, el }) {
    const waiting = document.createElement("span");
    waiting.className = "qianfan-waiting";
    waiting.textContent = model.get("waiting_for");
    const text = document.createElement("div");
    text.className = "qianfan-text";
    text.setAttribute("aria-live", "polite");
    el.classList.add("qianfan-reply", "jp-RenderedHTMLCommon");
    el.append(waiting, text);

    function append(delta) {
      waiting.remove();
      text.append(document.createTextNode(delta));
    }
    // A view that comes late starts with all there is.
    if (pieces.length) append(pieces.join(""));
    views.add(append);
    return () => views.delete(append);
  }

  return { initialize, render };
};
