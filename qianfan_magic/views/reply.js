// The live view of an answer: text is appended as it arrives, never written again.
// Everything is a text node: nothing an answer says is read as HTML.

function initialize({ model }) {
  const answer = { pieces: [], listeners: new Set() };
  model.on("msg:custom", ({ delta }) => {
    if (typeof delta !== "string") return;
    answer.pieces.push(delta);
    for (const listener of answer.listeners) listener(delta);
  });
  // Several views may show one model, and a view may come late: all start from the same pieces.
  model.qianfan_answer = answer;
}

function render({ model, el }) {
  const answer = model.qianfan_answer;
  const waiting = document.createElement("span");
  waiting.className = "qianfan-waiting";
  waiting.textContent = model.get("waiting_for");
  const text = document.createElement("div");
  text.className = "qianfan-text";
  text.setAttribute("aria-live", "polite");
  el.classList.add("qianfan-reply", "jp-RenderedHTMLCommon");
  el.append(waiting, text);

  const append = (delta) => {
    waiting.remove();
    text.append(document.createTextNode(delta));
  };
  if (answer.pieces.length) append(answer.pieces.join(""));
  answer.listeners.add(append);
  return () => answer.listeners.delete(append);
}

export default { initialize, render };
