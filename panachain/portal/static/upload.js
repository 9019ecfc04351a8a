// Upload: files and folders can be dropped, and a bar shows how many bytes were sent. Without it the form works alone.
"use strict";
(() => {
  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const zone = form.querySelector("[data-drop]");
  const chosen = form.querySelector("[data-chosen]");
  const bar = form.querySelector("[data-progress]");
  const told = form.querySelector("[data-told]");
  const said = form.querySelector("[data-said]");
  const language = document.documentElement.lang;
  const dropped = [];

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB"];
    let left = bytes, unit = 0;
    for (; left >= 1024 && unit < units.length - 1; unit += 1) left /= 1024;
    const digits = unit ? 1 : 0;
    return `${left.toLocaleString(language, { maximumFractionDigits: digits })} ${units[unit]}`;
  };

  const show = () => {
    const inputs = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
    const all = [...inputs, ...dropped.map((one) => one.file)];
    const bytes = all.reduce((sum, file) => sum + file.size, 0);
    chosen.textContent = all.length ? `${all.length.toLocaleString(language)} ${form.dataset.files}, ${size(bytes)}` : "";
  };

  const walk = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      dropped.push({ file, path: path + file.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A reader gives a folder in pieces, until one is empty.
      const piece = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!piece.length) return;
      for (const one of piece) await walk(one, `${path}${entry.name}/`);
    }
  };

  zone.querySelector("[data-hint]").hidden = false;
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    for (const entry of entries) await walk(entry, "");
    show();
  });
  form.addEventListener("change", show);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // The token comes first: the server keeps no file before it has seen it.
    // What else is sent is for the browser to say: a box that isn't checked is no field.
    const data = new FormData(form);
    const inputs = form.querySelectorAll("input[type=file]");
    for (const input of inputs) data.delete(input.name);
    for (const input of inputs) {
      for (const file of input.files) data.append("files", file, file.webkitRelativePath || file.name);
    }
    for (const one of dropped) data.append("files", one.file, one.path);
    const button = form.querySelector("button");
    button.disabled = true;
    bar.hidden = false;
    said.textContent = form.dataset.sending;
    const request = new XMLHttpRequest();
    const again = () => {
      button.disabled = false;
      bar.hidden = true;
      said.textContent = form.dataset.failed;
      told.textContent = "";
      chosen.textContent = form.dataset.failed;
    };
    request.upload.addEventListener("progress", (progress) => {
      const meter = bar.querySelector("progress");
      meter.max = progress.total || 1;
      meter.value = progress.loaded;
      told.textContent = `${size(progress.loaded)} ${form.dataset.of} ${size(progress.total)}`;
    });
    request.addEventListener("load", () => {
      if (request.status < 400 && request.responseURL) {
        window.location.assign(request.responseURL);
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("main");
      if (!page) return again();
      document.querySelector("main").replaceWith(document.importNode(page, true));
      document.querySelector("main").focus();
    });
    request.addEventListener("error", again);
    request.addEventListener("abort", again);
    request.open("POST", form.action);
    request.send(data);
  });
})();
