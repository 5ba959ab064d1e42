// Colors the text of a %%qianfan_chat or %%qianfan_map cell as Markdown: JupyterLab would color it as
// Python, "and" and "is" in a question as keywords. This is a prebuilt extension of JupyterLab 4 and
// Notebook 7, written as the module-federation container that they load (jupyterlab/staging,
// `bootstrap.js`): `init` gets the modules that the page shares, `get` makes the extension.
(() => {
  const MAGIC = /^%%qianfan_(chat|map)\b/;
  const MARKDOWN = "text/x-ipythongfm"; // as in JupyterLab's Markdown cells
  let shared;

  async function load(name) {
    const [version] = Object.values(shared[name]); // the page has one
    return (await version.get())();
  }

  function watchNotebook(notebook) {
    const watchCells = () => [...(notebook.model?.cells ?? [])].forEach(watchCell);
    const watchModel = () => {
      notebook.model?.cells.changed.connect(watchCells);
      watchCells();
    };
    notebook.modelChanged.connect(watchModel);
    watchModel();
  }

  const watched = new WeakSet();
  function watchCell(cell) {
    if (cell.type !== "code" || watched.has(cell)) return;
    watched.add(cell);
    let usual = cell.mimeType; // the kernel's language
    const update = () => {
      if (cell.mimeType !== MARKDOWN) usual = cell.mimeType;
      cell.mimeType = MAGIC.test(cell.sharedModel.getSource()) ? MARKDOWN : usual;
    };
    cell.contentChanged.connect(update);
    cell.mimeTypeChanged.connect(update); // JupyterLab sets it when the kernel is known
    update();
  }

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["qianfan-magic"] = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const { INotebookTracker } = await load("@jupyterlab/notebook");
      const plugin = {
        id: "qianfan-magic:language",
        description: "Colors the text of a %%qianfan_chat or %%qianfan_map cell as Markdown.",
        autoStart: true,
        requires: [INotebookTracker],
        activate: (_, tracker) => {
          tracker.forEach((panel) => watchNotebook(panel.content));
          tracker.widgetAdded.connect((_, panel) => watchNotebook(panel.content));
        },
      };
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
