// Pictures get their alternative text in JupyterLab and Notebook 7, whose own renderer gives them none.
//
// A picture's text is the "alt" of its output's metadata, or else its plain text, unless that only names an object, as
// "<Figure size 640x480>" does. The file is written as both load it: a container that lends modules by name. No build.
"use strict";

(() => {
  let shared; // what JupyterLab lends, name -> version -> loader

  async function borrowed(name) {
    const [loader] = Object.values(shared[name]);
    return (await loader.get())();
  }

  function textOf(model, kind) {
    const alt = model.metadata?.[kind]?.alt;
    const plain = String(model.data["text/plain"] ?? "");
    return alt || (plain.startsWith("<") ? "" : plain);
  }

  async function extension() {
    const { IRenderMimeRegistry, imageRendererFactory: usual } = await borrowed("@jupyterlab/rendermime");

    function createRenderer(options) {
      const picture = usual.createRenderer(options);
      const render = picture.renderModel.bind(picture);
      picture.renderModel = async (model) => {
        await render(model);
        const text = textOf(model, options.mimeType);
        const image = picture.node.querySelector("img");
        if (image && text) {
          image.alt = text;
        }
      };
      return picture;
    }

    return {
      id: "gradutils:alternative-text",
      autoStart: true,
      requires: [IRenderMimeRegistry],
      activate: (app, registry) => registry.addFactory({ ...usual, createRenderer }),
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.gradutils = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const plugin = await extension();
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
